//! A message that does not say what it should.

/// A field whose value means nothing, by its path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct Invalid {
    /// Path of the field, such as `faults[0].cut.loss`.
    pub field: String,
    /// What is wrong with it.
    pub reason: String,
}

impl Invalid {
    /// Names a field and what is wrong with it.
    #[must_use]
    pub fn new(field: impl Into<String>, reason: impl ToString) -> Self {
        Self { field: field.into(), reason: reason.to_string() }
    }

    /// The same, seen from the message around it.
    #[must_use]
    pub fn within(mut self, outer: &str) -> Self {
        self.field = format!("{outer}.{}", self.field);
        self
    }
}

/// A message field that must be there.
///
/// # Errors
/// It is not.
pub fn required<T>(value: Option<T>, field: &str) -> Result<T, Invalid> {
    value.ok_or_else(|| Invalid::new(field, "is missing"))
}

/// An enum's number that the wire knows.
pub(crate) fn known<E: TryFrom<i32>>(number: i32, field: &str) -> Result<E, Invalid> {
    E::try_from(number).map_err(|_| Invalid::new(field, format!("unknown value {number}")))
}

/// An enum that was left at its zero value.
pub(crate) fn unspecified(field: &str) -> Invalid {
    Invalid::new(field, "is missing")
}
