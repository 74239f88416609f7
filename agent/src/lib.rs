//! The privileged node daemon of Schism.
