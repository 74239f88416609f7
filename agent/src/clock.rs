//! What a clock skew is made of: parameters, code and places in a vDSO image. Pure.
//!
//! A target's vDSO gets a jump at the entry of each clock function, into a stub in the image's slack. The
//! stub calls the original, whose displaced first instructions it has a copy of, and adds an offset that
//! follows from [`parameters`] and the monotonic clock. Nothing here touches a process.

pub mod block;
pub mod image;
pub mod parameters;
pub mod patch;
pub mod stack;
pub mod x86_64;
