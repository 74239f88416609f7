//! Experiments: what they are, what files of them say, and how they are run and judged.
//!
//! Nothing here performs anything: no process, no socket, no file, no clock. Whoever performs goes this way:
//!
//! 1. [`toolkit::read`] makes an experiment of a text, or tells everything that is wrong with it and where.
//!    Experiments can also be built: everything in [`model`] is open.
//! 2. [`configuration::load`] and [`secrets::load`] determine its values from an environment and from
//!    [`variables`]. What [`secrets::reads`] names is asked of Vault before.
//! 3. [`run::Run`] decides what happens when, and is told what happened.
//! 4. [`run::Run::journal`], or beside a long one [`run::Run::changes`], is written whenever
//!    [`run::Action::Record`] says so, [`events::line`] for each
//!    [`run::Action::Tell`], [`junit::suite`] at the end. A run that was killed is finished by
//!    [`run::Run::resume`], with what [`journal::Owed::read`] finds.
//!
//! # What who performs has to keep
//!
//! - A [`run::Perform`] is answered once, with an [`run::Ending`]: `Returned` with the value that
//!   [`run::invocation::Invocation`] describes; `Failed` where the original says that an activity failed (an
//!   exception in a function, no connection, a process over its time); `Crashed` where it ends with a
//!   traceback (no such program, an address that is none); `Interrupted` where a function wants the run to
//!   end.
//! - For a fault, `Returned` means verified, `Failed` means that nothing of it stands. Anything else leaves
//!   it to [`run::Action::Heal`], after whose answer it must not come in any more.
//! - A fault is asked for by its [`run::FaultKey`], and so is its end, also by another run: the journal has it
//!   before anybody is asked for the fault.
//! - Limits of a provider itself (`timeout` of a process, of a request) are kept by who performs; those of
//!   steps by the run.
//! - What to do about an error stands behind it ([`hint::MARK`]), and is told apart from it.
//! - Output is bounded, and made to text, before it gets here.
//! - [`redaction::Confidential`] holds secrets: what is in it goes to whom it is for, and nowhere else. Other
//!   texts of a run are cleaned by [`run::Run::redaction`].

pub mod address;
pub mod configuration;
pub mod document;
pub mod environment;
pub mod events;
pub mod hint;
pub mod journal;
pub mod junit;
pub mod line;
pub mod model;
pub mod position;
pub mod problem;
pub mod redaction;
pub mod restoration;
pub mod run;
pub mod schema;
pub mod secrets;
pub mod substitution;
pub mod timestamp;
pub mod tolerance;
pub mod toolkit;
pub mod variables;
