//! The privileged node daemon of Schism.
//!
//! From outside in: [`daemon`] (socket, signals) → [`server`] (gRPC to domain) → [`worker`] (one task
//! that decides) → [`plan`], [`ledger`] and [`truth`] (pure) → [`kernel`] (the only code that performs).

pub mod brake;
mod capture;
pub mod clock;
pub mod daemon;
pub mod doctor;
pub mod executor;
pub mod fake;
pub mod hands;
pub mod holders;
pub mod kernel;
pub mod ledger;
mod log;
pub mod plan;
pub mod pulse;
pub mod residue;
pub mod server;
pub mod supervisor;
pub mod telemetry;
pub mod truth;
pub mod uplink;
pub mod worker;
