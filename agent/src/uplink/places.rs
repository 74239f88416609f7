//! All places of a controller: the addresses that its name has, at each of which may be another one of several
//! controllers. Those that do not lead do not listen.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::Instrument as _;

use super::met::Met;
use super::way::{self, Standing};
use super::{Stop, Uplink};

/// How often it is asked at the most which addresses there are, while there is a connection.
const RARELY: Duration = Duration::from_secs(10);
/// How often where there is none.
const OFTEN: Duration = Duration::from_secs(2);

/// Keeps a connection at each of the addresses that there are, as these come and go. One that is there no more is
/// dialled no more, but a connection to it is served to its end: a name says nothing about who is well.
///
/// After a stop it returns when what is under way on the connections has its answers.
pub async fn everywhere<Resolve, Resolved, Dial, Dialled, S, E>(
    uplink: Uplink,
    resolve: Resolve,
    dial: Dial,
    mut stop: Stop,
) where
    Resolve: Fn() -> Resolved,
    Resolved: Future<Output = io::Result<BTreeSet<IpAddr>>>,
    Dial: Fn(IpAddr) -> Dialled + Clone + Send + Sync + 'static,
    Dialled: Future<Output = Result<S, E>> + Send + 'static,
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    E: std::fmt::Display + Send + 'static,
{
    let met = Met::default();
    let mut ways: BTreeMap<IpAddr, watch::Sender<Standing>> = BTreeMap::new();
    let mut tasks = JoinSet::new();
    let mut said = None;
    loop {
        let resolved = tokio::select! {
            biased;
            () = stop.asked() => break,
            resolved = resolve() => resolved,
        };
        while tasks.try_join_next().is_some() {}
        ways.retain(|_, standing| !standing.is_closed());
        match resolved {
            Ok(found) if !found.is_empty() => {
                said = None;
                for (address, standing) in &ways {
                    let wanted = standing_of(address, &found);
                    standing
                        .send_if_modified(|standing| std::mem::replace(standing, wanted) != wanted);
                }
                for address in &found {
                    ways.entry(*address).or_insert_with(|| {
                        let (sender, standing) = watch::channel(standing_of(address, &found));
                        let (dial, address) = (dial.clone(), *address);
                        let dial = move || dial(address);
                        let way =
                            way::keep(uplink.clone(), dial, met.clone(), standing, stop.clone());
                        tasks.spawn(way.instrument(tracing::info_span!("controller", %address)));
                        sender
                    });
                }
            }
            unknown => {
                let reason = match unknown {
                    Ok(_) => "its name has no address".to_owned(),
                    Err(error) => error.to_string(),
                };
                if said.as_ref() != Some(&reason) {
                    tracing::warn!(%reason, "where the controller is cannot be found out now");
                    said = Some(reason);
                }
            }
        }
        let count = met.count();
        let rest = if count == 0 { OFTEN } else { RARELY };
        let share = f64::from((uplink.chance)()) / f64::from(u32::MAX);
        tokio::select! {
            biased;
            () = stop.asked() => break,
            // Whoever leads next may be new.
            () = met.fewer_than(count) => {}
            () = tokio::time::sleep(rest.mul_f64(0.5 + share / 2.0)) => {}
        }
    }
    // They have been asked, too.
    while tasks.join_next().await.is_some() {}
}

fn standing_of(address: &IpAddr, found: &BTreeSet<IpAddr>) -> Standing {
    match found.len() {
        _ if !found.contains(address) => Standing::Left,
        1 => Standing::Alone,
        _ => Standing::OneOfSeveral,
    }
}
