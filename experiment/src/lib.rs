//! Experiments: what they are, what files of them say, and what values are compared with.
//!
//! Nothing here performs anything: no process, no socket, no clock.

pub mod configuration;
pub mod document;
pub mod environment;
pub mod journal;
pub mod model;
pub mod position;
pub mod problem;
pub mod redaction;
pub mod run;
pub mod secrets;
pub mod substitution;
pub mod timestamp;
pub mod tolerance;
pub mod toolkit;
pub mod variables;
