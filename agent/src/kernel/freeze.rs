//! Processes that stand still: one child of ours for each freeze holds them, and the kernel lets them go when
//! that child ends, however it does.

mod frozen;
pub(in crate::kernel) mod holder;
mod standing;

pub(super) use frozen::Frozen;
