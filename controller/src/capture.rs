//! Packets of a target, kept in a file.

#[cfg_attr(not(test), expect(dead_code, reason = "the command that writes them follows"))]
mod pcapng;
