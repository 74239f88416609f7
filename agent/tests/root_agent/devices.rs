//! Devices of every kind, and what is not unicast: each packet is judged once, and others pass.
