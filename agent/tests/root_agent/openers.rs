//! `initiator` cuts tell flows apart by who opened them: a may not call b, b may call a.

mod call;
mod datagrams;
mod odd;
mod tcp;
