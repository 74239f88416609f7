//! What is wrong with a file.

use std::fmt;

use crate::document::SyntaxFault;
use crate::model::{NameError, StrategyError, VariableTypeError};
use crate::position::Position;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where it stands in the file.
    pub at: Position,
    /// Where it stands in the experiment, such as `method[0].provider`; empty for the whole.
    pub place: String,
    /// What it is.
    pub fault: Fault,
    /// Whether the experiment can be run all the same.
    pub severity: Severity,
}

/// What a problem means for the experiment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It is told.
    Warning,
    /// It is not run.
    Error,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Warning => "warning: ",
            Severity::Error => "",
        };
        let colon = if self.place.is_empty() { "" } else { ": " };
        write!(f, "{}: {severity}{}{colon}{}", self.at, self.place, self.fault)
    }
}

/// What is wrong. Where the original says it too, in its words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It cannot be read at all.
    #[error(transparent)]
    Syntax(#[from] SyntaxFault),
    /// Nothing is in it.
    #[error("an empty experiment is not an experiment")]
    Empty,
    /// It has no title.
    #[error("experiment requires a title")]
    NoTitle,
    /// It has no description.
    #[error("experiment requires a description")]
    NoDescription,
    /// It has no method.
    #[error(
        "an experiment requires a method, which can be empty for only checking steady state hypothesis "
    )]
    NoMethod,
    /// A tag is no text, or empty.
    #[error("experiment tags must be a non-empty string")]
    Tag,
    /// An extension has no name.
    #[error("All extensions require a non-empty name")]
    Extension,
    /// The hypothesis has no title.
    #[error("hypothesis requires a title")]
    NoHypothesisTitle,
    /// A probe of the hypothesis has no tolerance.
    #[error("hypothesis probe must have a tolerance entry")]
    NoTolerance,
    /// A tolerance of an unknown type.
    #[error("hypothesis probe tolerance type '{0}' is unsupported")]
    ToleranceType(String),
    /// A value that is no tolerance.
    #[error(
        "a tolerance is a truth value, a whole number, text, a list or a mapping with a `type`"
    )]
    Tolerance,
    /// A range that is none.
    #[error("the `range` of a tolerance is a list of two numbers")]
    Range,
    /// A pattern that is none.
    #[error("hypothesis probe tolerance pattern {pattern} seems invalid: {reason}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A path that is none.
    #[error("hypothesis probe tolerance JSON path {path} is invalid: {reason}")]
    Path {
        /// The path.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An activity that is nothing.
    #[error("empty activity is no activity")]
    EmptyActivity,
    /// An activity without type.
    #[error("an activity must have a type")]
    NoType,
    /// An activity of an unknown type.
    #[error("'{0}' is not a supported activity type")]
    ActivityType(String),
    /// An activity without name.
    #[error("an activity must have a name")]
    NoName,
    /// An activity without provider.
    #[error("an activity requires a provider")]
    NoProvider,
    /// A provider without type.
    #[error("a provider must have a type")]
    NoProviderType,
    /// A provider of an unknown type.
    #[error("unknown provider type '{0}'")]
    ProviderType(String),
    /// A time limit that is no number.
    #[error("activity timeout must be a number")]
    Timeout,
    /// `background` is no truth value.
    #[error("activity background must be a boolean")]
    Background,
    /// A pause that is neither a number nor a value's name.
    #[error("a pause is a number of seconds, or `${{name}}`")]
    Pause,
    /// A request without address.
    #[error("a HTTP activity must have a URL")]
    NoUrl,
    /// A process without program.
    #[error("a process activity must have a path")]
    NoPath,
    /// A function without module.
    #[error("a Python activity must have a module path")]
    NoModule,
    /// A module without function.
    #[error("a Python activity must have a function name")]
    NoFunction,
    /// A step of ours that says neither `action` nor `probe`.
    #[error("a step of schism says what with `action` or `probe`")]
    NoVerb,
    /// An action where a probe stands, or the other way round.
    #[error("`{verb}` is no {kind}")]
    Verb {
        /// What it is.
        verb: String,
        /// What it should be.
        kind: &'static str,
    },
    /// A reference to nothing.
    #[error("referenced activity '{0}' could not be found in the experiment")]
    Reference(String),
    /// A reference that is no text.
    #[error("reference to activity must be non-empty strings")]
    ReferenceText,
    /// References that lead back to themselves.
    #[error("the references {} lead back to the first", .0.join(" → "))]
    Circle(Vec<String>),
    /// A control without a part that it needs.
    #[error("a control needs {0}")]
    Control(&'static str),
    /// A control that is named and does not exist.
    #[error("no control of the experiment is called '{0}'")]
    NoControl(String),
    /// A key that nobody reads.
    #[error("unknown key `{key}`{}", .similar.as_ref().map(|key| format!(": did you mean `{key}`?")).unwrap_or_default())]
    Unknown {
        /// The key.
        key: String,
        /// One that is read and looks like it.
        similar: Option<String>,
    },
    /// Something that the original reads.
    #[error("nobody reads this here")]
    NotRead,
    /// A key that stands twice in its mapping.
    #[error("`{0}` stands here twice: the last one counts")]
    Twice(String),
    /// A key that must be there.
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// A value of the wrong kind.
    #[error("{wanted} was expected here, not {found}")]
    Kind {
        /// What was expected.
        wanted: &'static str,
        /// What stands there.
        found: &'static str,
    },
    /// A number that cannot be.
    #[error("{0} was expected here")]
    Amount(&'static str),
    /// A word that is none of those there are.
    #[error(transparent)]
    Word(#[from] StrategyError),
    /// A type that variables do not have.
    #[error(transparent)]
    VariableType(#[from] VariableTypeError),
    /// Something that is no name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// An argument that makes no sense to whoever performs the step.
    #[error("{0}")]
    Argument(String),
    /// Arguments in one text, which the original gives to a shell.
    #[error(
        "arguments in one text are given to a shell, with all values that are put into it: a list is safe"
    )]
    Shell,
}
