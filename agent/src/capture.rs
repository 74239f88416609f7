//! Which packets of a target the kernel is to hand over: a program for it, and what it may come to.

#[cfg_attr(not(test), expect(dead_code, reason = "the socket that takes it follows"))]
pub(crate) mod filter;
