//! Every command that people and CI run.

fn main() {}
