//! The connection between agents, controllers and people: mutual TLS, who the other end is, and the hello.

mod hello;

pub use hello::{HelloError, read, write};
