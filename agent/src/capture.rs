//! Which packets of a target the kernel is to hand over: a program for it, and what it may come to.

pub(crate) mod filter;
