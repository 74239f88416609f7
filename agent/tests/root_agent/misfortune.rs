//! Bad input and bad luck: what a cut does when the ground moves under it, and what it must not do.

mod addresses;
mod devices;
mod hands;
mod names;
mod time;
mod vanishing;
