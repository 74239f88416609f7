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

/// What is wrong: what is missing or not known, or what was expected and what was found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It cannot be read at all.
    #[error(transparent)]
    Syntax(#[from] SyntaxFault),
    /// Nothing is in it.
    #[error("an experiment was expected here, found nothing")]
    Empty,
    /// A value of the wrong kind, or one that cannot be.
    #[error("{wanted} was expected here, found {found}")]
    Kind {
        /// What was expected.
        wanted: &'static str,
        /// What stands there.
        found: String,
    },
    /// A key that must be there, and what stands there then.
    #[error("`{key}` is missing: {wanted}")]
    Lacks {
        /// The key.
        key: &'static str,
        /// What it is set to.
        wanted: &'static str,
    },
    /// A text with rules of its own.
    #[error("{wanted} was expected here, found `{found}`: {reason}")]
    Unreadable {
        /// What was expected.
        wanted: &'static str,
        /// What stands there.
        found: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An action where a probe stands, or the other way round.
    #[error("{wanted} was expected here, found {found} `{verb}`")]
    Verb {
        /// What it is called.
        verb: String,
        /// What should stand there.
        wanted: &'static str,
        /// What it is.
        found: &'static str,
    },
    /// A reference to nothing.
    #[error(
        "the name of a step was expected here, found `{0}`: no step of the method or the steady state is called so"
    )]
    Reference(String),
    /// References that lead back to themselves.
    #[error("the references {} lead back to the first", .0.join(" → "))]
    Circle(Vec<String>),
    /// A control that is named and does not exist.
    #[error(
        "the name of a control was expected here, found `{0}`: no control of the experiment is called so"
    )]
    NoControl(String),
    /// The output of no step before.
    #[error("the output of an earlier step was expected here, found `{name}`{}", did(.similar.as_deref()))]
    Output {
        /// What stands there.
        name: String,
        /// One that there is and looks like it.
        similar: Option<String>,
    },
    /// An output that is not there yet when the steady state is looked at for the first time.
    #[error(
        "`outputs.{0}` is found by a later step, and a look at the steady state before that fails: \
         `runtime.hypothesis.strategy: after-method-only` looks at it afterwards alone"
    )]
    Early(String),
    /// A fault that is not there yet when the steady state is looked at for the first time.
    #[error(
        "the fault `{0}` is put in by a later step, and a look at the steady state before that fails: \
         `runtime.hypothesis.strategy: after-method-only` looks at it afterwards alone"
    )]
    EarlyFault(String),
    /// A value that is given nowhere.
    #[error(
        "the name of a setting or a secret was expected here, found `{name}`{}",
        did(.similar.as_deref())
    )]
    Value {
        /// What stands there.
        name: String,
        /// One that there is and looks like it.
        similar: Option<String>,
    },
    /// A group of secrets that there is not.
    #[error(
        "the name of a group of secrets was expected here, found `{name}`{}",
        did(.similar.as_deref())
    )]
    Group {
        /// What stands there.
        name: String,
        /// One that there is and looks like it.
        similar: Option<String>,
    },
    /// A name that is given twice.
    #[error("`{0}` stands for something else already: a name is given once")]
    Taken(String),
    /// A fault that is not there yet.
    #[error(
        "the fault of an earlier step was expected here, found `{0}`, which a later step puts in"
    )]
    Later(String),
    /// A key that nobody reads.
    #[error("unknown key `{key}`{}", meant(.similar.as_deref(), .known))]
    Unknown {
        /// The key.
        key: String,
        /// One that is read and looks like it.
        similar: Option<String>,
        /// Those that are read here.
        known: Vec<String>,
    },
    /// Something that the original reads.
    #[error("nobody reads this here")]
    NotRead,
    /// A key that stands twice in its mapping.
    #[error("`{0}` stands here twice: the last one counts")]
    Twice(String),
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
    /// A secret that cannot be hidden everywhere.
    #[error(
        "a secret of fewer than 4 characters is hidden only where it stands alone, as it is a part of too many words: a \
         longer one is hidden everywhere"
    )]
    ShortSecret,
    /// Arguments in one text, which the original gives to a shell.
    #[error(
        "arguments in one text are given to a shell, with all values that are put into it: a list is safe"
    )]
    Shell,
}

fn did(similar: Option<&str>) -> String {
    similar.map(|similar| format!(": did you mean `{similar}`?")).unwrap_or_default()
}

/// Up to so many keys are told where one of them was expected.
const FEW: usize = 16;

/// What may have been meant by a key that nobody reads.
fn meant(similar: Option<&str>, known: &[String]) -> String {
    match (similar, known) {
        (Some(key), _) => format!(": did you mean `{key}`?"),
        (None, known) if known.is_empty() || known.len() > FEW => String::new(),
        (None, known) => format!(": known here are {}", known.join(", ")),
    }
}
