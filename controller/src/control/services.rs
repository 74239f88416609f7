//! From a service to the ends of a cut. As FROM it is its endpoints' pods; as TO it is addresses, of its endpoints and
//! its own.
//!
//! Whoever sends to a service sends to its own address or to one of its endpoints', whichever is seen where it sends:
//! kube-proxy translates on the node, after the pod's own devices; what translates when a socket is connected shows the
//! endpoint's address there. What comes back has the address to which was sent.

use std::collections::BTreeSet;
use std::net::IpAddr;

use fault::{Aspect, KubernetesPods, ObjectName, Prefix, Selector};
use futures_util::future::try_join_all;

use super::pods;
use super::resolving::{ResolveError, Role};
use crate::agents::Agents;
use crate::planning::{End, Place};
use crate::provider::kubernetes::{Found, Kubernetes, Led, PodsError};
use crate::spec::IsService;

/// What a service is, as one side of a cut.
///
/// # Errors
/// It is not there, leads to nothing, or to something that cannot be hit; or it is no side of a cut.
pub(super) async fn ends(
    kubernetes: Option<&Kubernetes>,
    agents: &Agents,
    selector: &Selector,
    (pods, name): (&KubernetesPods, &ObjectName),
    role: Role,
) -> Result<Vec<End>, ResolveError> {
    let failed = |error| ResolveError::Pods { selector: selector.clone(), error: Box::new(error) };
    let kubernetes = kubernetes.ok_or_else(|| failed(PodsError::NoCluster))?;
    // Before: it may be otherwise by the time that agents have answered.
    let may_be_told = kubernetes.is_current();
    let led = async || kubernetes.led(pods, name).await.map_err(failed);
    let found = match role {
        Role::Member | Role::Processes => return Err(IsService(selector.clone()).into()),
        Role::Receiver => {
            let led = led().await?;
            led.admit().map_err(failed)?;
            addresses(selector, led.addresses(), evidence(&led)).into_iter().collect::<Vec<_>>()
        }
        Role::Sender => match senders(agents, selector, led().await?).await {
            // What was told of its pods may be old.
            Err(error) if may_be_told && pods::may_pass_when_asked(&error) => {
                let led = kubernetes.led_anew(pods, name).await.map_err(failed)?;
                senders(agents, selector, led).await?
            }
            found => found?,
        },
    };
    if found.is_empty() {
        let asked = format!("namespace {}: no address and no endpoint", pods.namespace);
        return Err(ResolveError::Nothing { selector: selector.clone(), asked });
    }
    Ok(found)
}

/// The pods behind a service, as the agents of their nodes find them, and what else it is.
async fn senders(agents: &Agents, selector: &Selector, led: Led) -> Result<Vec<End>, ResolveError> {
    let failed = |error| ResolveError::Pods { selector: selector.clone(), error: Box::new(error) };
    let told = evidence(&led);
    let beside = led.own.union(&led.elsewhere).copied().collect();
    // What is on its way out is behind it by its address, as long as it is there.
    let staying = Found { leaving: Vec::new(), ..led.pods };
    let usable = pods::usable(staying, selector).map_err(failed)?;
    let of_pods =
        usable.into_iter().map(|one| pods::end(agents, selector, one, Aspect::Network, &told));
    let mut found = try_join_all(of_pods).await?;
    found.extend(addresses(selector, beside, told.clone()));
    Ok(found)
}

/// What of a service is addresses and nothing else; `None` where there is none.
pub(super) fn addresses(
    selector: &Selector,
    all: BTreeSet<IpAddr>,
    evidence: Vec<String>,
) -> Option<End> {
    let prefixes: Vec<Prefix> = all.into_iter().map(Prefix::from).collect();
    let place = Place::Addresses(prefixes);
    let end = End::found(selector.clone(), place, evidence);
    match &end.place {
        Place::Addresses(prefixes) if prefixes.is_empty() => None,
        Place::Addresses(_) | Place::Target(..) => Some(end),
    }
}

fn evidence(led: &Led) -> Vec<String> {
    let Led { service, own, endpoints, .. } = led;
    let own = match own.len() {
        0 => "no address of its own".to_owned(),
        _ => own.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and "),
    };
    let count = endpoints.len();
    let plural = if count == 1 { "" } else { "es" };
    vec![format!(
        "the API server has service {service}: {own}, and {count} address{plural} behind it"
    )]
}
