//! Ids, addresses and selectors on the wire.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use fault::{
    ClusterName, ClusterPath, ContainerName, EtcdMembers, EtcdRole, FaultId, IntentId, NodeName,
    PartitionNumber, Pod, PodError, PodUid, Prefix, Scheme, Scope, Selector, ZeebeMembers,
    ZeebeRole,
};

use crate::agent as wire;
use crate::{Invalid, required};

impl From<FaultId> for wire::FaultId {
    fn from(id: FaultId) -> Self {
        Self { intent: id.intent.get(), part: id.part.into() }
    }
}

impl TryFrom<wire::FaultId> for FaultId {
    type Error = Invalid;

    fn try_from(id: wire::FaultId) -> Result<Self, Invalid> {
        let intent = IntentId::from_random(id.intent);
        if intent.get() != id.intent {
            return Err(Invalid::new("intent", "has more than 48 bits"));
        }
        let part = id.part.try_into().map_err(|_| Invalid::new("part", "is above 65535"))?;
        Ok(Self { intent, part })
    }
}

/// The 16-byte form of an address.
#[must_use]
pub fn address_bytes(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

/// Sixteen bytes as the address that they stand for; `field` is what an error names.
///
/// # Errors
/// They are not sixteen.
pub fn address(bytes: &[u8], field: &str) -> Result<IpAddr, Invalid> {
    let octets: [u8; 16] = sixteen(bytes, field)?;
    Ok(Ipv6Addr::from(octets).to_canonical())
}

/// A field of sixteen bytes.
pub(crate) fn sixteen(bytes: &[u8], field: &str) -> Result<[u8; 16], Invalid> {
    bytes.try_into().map_err(|_| Invalid::new(field, "is not 16 bytes"))
}

impl From<&Prefix> for wire::Prefix {
    fn from(prefix: &Prefix) -> Self {
        let scope = prefix.scope().map(|scope| match scope {
            Scope::Name(name) => wire::prefix::Scope::InterfaceName(name.clone()),
            Scope::Index(index) => wire::prefix::Scope::InterfaceIndex(*index),
        });
        Self { network: prefix.network().to_vec().into(), length: prefix.length().into(), scope }
    }
}

impl TryFrom<wire::Prefix> for Prefix {
    type Error = Invalid;

    fn try_from(prefix: wire::Prefix) -> Result<Self, Invalid> {
        let network = sixteen(&prefix.network, "network")?;
        let length =
            prefix.length.try_into().map_err(|_| Invalid::new("length", "is above 128"))?;
        let scope = prefix.scope.map(|scope| match scope {
            wire::prefix::Scope::InterfaceName(name) => Scope::Name(name),
            wire::prefix::Scope::InterfaceIndex(index) => Scope::Index(index),
        });
        let found = Self::new(network, length, scope).map_err(|e| Invalid::new("length", e))?;
        if found.network() != network {
            return Err(Invalid::new("network", "has host bits"));
        }
        if found.is_link_local() != found.scope().is_some() {
            return Err(Invalid::new("scope", "belongs to link-local prefixes, and they need it"));
        }
        Ok(found)
    }
}

impl From<SocketAddr> for wire::Endpoint {
    fn from(endpoint: SocketAddr) -> Self {
        Self { address: address_bytes(endpoint.ip()).into(), port: endpoint.port().into() }
    }
}

impl TryFrom<wire::Endpoint> for SocketAddr {
    type Error = Invalid;

    fn try_from(endpoint: wire::Endpoint) -> Result<Self, Invalid> {
        let address = address(&endpoint.address, "address")?;
        match u16::try_from(endpoint.port) {
            Ok(port @ 1..) => Ok(Self::new(address, port)),
            Ok(0) | Err(_) => Err(Invalid::new("port", "is not from 1 to 65535")),
        }
    }
}

impl From<&EtcdMembers> for wire::EtcdRole {
    fn from(members: &EtcdMembers) -> Self {
        use wire::etcd_role::{Any, Follower, Leader, Role};
        let role = match &members.role {
            EtcdRole::Leader => Role::Leader(Leader {}),
            EtcdRole::Follower => Role::Follower(Follower {}),
            EtcdRole::Any => Role::Any(Any {}),
            EtcdRole::Member(name) => Role::Member(name.to_string()),
        };
        let [cluster, instance] = names(members.cluster.as_ref());
        Self { role: Some(role), cluster, instance }
    }
}

impl TryFrom<wire::EtcdRole> for EtcdMembers {
    type Error = Invalid;

    fn try_from(members: wire::EtcdRole) -> Result<Self, Invalid> {
        use wire::etcd_role::Role;
        let role = match required(members.role, "role")? {
            Role::Leader(_) => EtcdRole::Leader,
            Role::Follower(_) => EtcdRole::Follower,
            Role::Any(_) => EtcdRole::Any,
            Role::Member(name) => {
                name.parse().map(EtcdRole::Member).map_err(|e| Invalid::new("member", e))?
            }
        };
        Ok(Self { cluster: cluster(&members.cluster, &members.instance)?, role })
    }
}

/// What a cluster is called, and which of several; nothing where that is not said.
fn names(cluster: Option<&ClusterPath>) -> [String; 2] {
    let text = |name: Option<&ClusterName>| name.map(ToString::to_string).unwrap_or_default();
    [text(cluster.map(|path| &path.name)), text(cluster.and_then(|path| path.instance()))]
}

fn cluster(name: &str, instance: &str) -> Result<Option<ClusterPath>, Invalid> {
    let named = |name: &str, field| match name {
        "" => Ok(None),
        name => {
            let name = ClusterName::new(name);
            name.map(Some).ok_or_else(|| Invalid::new(field, "is no cluster's name"))
        }
    };
    match (named(name, "cluster")?, named(instance, "instance")?) {
        (Some(name), instance) => Ok(Some(ClusterPath::new(name, instance))),
        (None, None) => Ok(None),
        (None, Some(_)) => Err(Invalid::new("instance", "is of no namespace")),
    }
}

impl From<&ZeebeMembers> for wire::ZeebeRole {
    fn from(members: &ZeebeMembers) -> Self {
        use wire::zeebe_role::{Any, Role};
        let role = match members.role {
            ZeebeRole::Leader(partition) => Role::Leader(partition.get()),
            ZeebeRole::Follower(partition) => Role::Follower(partition.get()),
            ZeebeRole::Broker(number) => Role::Broker(number),
            ZeebeRole::AnyBroker => Role::AnyBroker(Any {}),
            ZeebeRole::Gateway => Role::Gateway(Any {}),
        };
        let [cluster, instance] = names(members.cluster.as_ref());
        Self { role: Some(role), cluster, instance }
    }
}

impl TryFrom<wire::ZeebeRole> for ZeebeMembers {
    type Error = Invalid;

    fn try_from(members: wire::ZeebeRole) -> Result<Self, Invalid> {
        use wire::zeebe_role::{Any, Role};
        let partition = |number, field| {
            let number = PartitionNumber::new(number);
            number.ok_or_else(|| Invalid::new(field, "is no partition's number"))
        };
        let role = match required(members.role, "role")? {
            Role::Leader(number) => ZeebeRole::Leader(partition(number, "leader")?),
            Role::Follower(number) => ZeebeRole::Follower(partition(number, "follower")?),
            Role::Broker(number) => ZeebeRole::Broker(number),
            Role::AnyBroker(Any {}) => ZeebeRole::AnyBroker,
            Role::Gateway(Any {}) => ZeebeRole::Gateway,
        };
        Ok(Self { cluster: cluster(&members.cluster, &members.instance)?, role })
    }
}

impl From<&Pod> for wire::Pod {
    fn from(pod: &Pod) -> Self {
        let container = pod.container.as_ref().map(ToString::to_string).unwrap_or_default();
        Self { uid: pod.uid.to_string(), container }
    }
}

impl TryFrom<wire::Pod> for Pod {
    type Error = Invalid;

    fn try_from(pod: wire::Pod) -> Result<Self, Invalid> {
        let uid = PodUid::new(&pod.uid).ok_or_else(|| Invalid::new("uid", PodError::Uid))?;
        let container = match pod.container.as_str() {
            "" => None,
            name => {
                let name = ContainerName::new(name);
                Some(name.ok_or_else(|| Invalid::new("container", PodError::Container))?)
            }
        };
        Ok(Self { uid, container })
    }
}

/// Picks and nodes stay with who resolves: an agent is asked for what is on its own node.
impl From<&Selector> for wire::Selector {
    fn from(selector: &Selector) -> Self {
        use wire::selector::Scheme as Wire;
        let scheme = match &selector.scheme {
            Scheme::Netns(name) => Wire::Netns(name.clone()),
            Scheme::Pid(pid) => Wire::Pid(*pid),
            Scheme::Container(id) => Wire::Container(id.clone()),
            Scheme::Pod(pod) => Wire::Pod(pod.into()),
            Scheme::Host(node) => Wire::Host(node.to_string()),
            Scheme::Addr(prefix) => Wire::Addr(prefix.into()),
            Scheme::Etcd(role) => Wire::Etcd(role.into()),
            Scheme::Zeebe(role) => Wire::Zeebe(role.into()),
            Scheme::Kubernetes(pods) => Wire::Kubernetes(pods.as_ref().into()),
        };
        Self { scheme: Some(scheme) }
    }
}

impl TryFrom<wire::Selector> for Selector {
    type Error = Invalid;

    fn try_from(selector: wire::Selector) -> Result<Self, Invalid> {
        use wire::selector::Scheme as Wire;
        let scheme = match required(selector.scheme, "scheme")? {
            Wire::Netns(name) => Scheme::Netns(name),
            Wire::Pid(pid) => Scheme::Pid(pid),
            Wire::Container(id) => Scheme::Container(id),
            Wire::Pod(pod) => Scheme::Pod(pod.try_into().map_err(|e: Invalid| e.within("pod"))?),
            Wire::Host(name) => Scheme::Host(
                NodeName::new(&name).ok_or_else(|| Invalid::new("host", "is no node's name"))?,
            ),
            Wire::Addr(prefix) => {
                Scheme::Addr(prefix.try_into().map_err(|e: Invalid| e.within("addr"))?)
            }
            Wire::Etcd(role) => {
                Scheme::Etcd(role.try_into().map_err(|e: Invalid| e.within("etcd"))?)
            }
            Wire::Zeebe(role) => {
                Scheme::Zeebe(role.try_into().map_err(|e: Invalid| e.within("zeebe"))?)
            }
            Wire::Kubernetes(pods) => {
                let pods = pods.try_into().map_err(|e: Invalid| e.within("kubernetes"))?;
                Scheme::Kubernetes(Box::new(pods))
            }
        };
        let selector = Self { pick: None, scheme, node: None };
        // The text form has every rule about names; a selector that it does not print is none.
        match selector.to_string().parse::<Self>() {
            Ok(parsed) if parsed == selector => Ok(selector),
            Ok(_) => Err(Invalid::new("scheme", "is ambiguous")),
            Err(error) => Err(Invalid::new("scheme", error.kind)),
        }
    }
}
