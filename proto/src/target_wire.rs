//! Targets on the wire.

use fault::{
    BootId, Interface, NamespaceCookie, OwnAddress, PodUid, Process, ProcessIdentity, Target,
    TargetIdentity,
};

use crate::agent as wire;
use crate::name_wire::{address, address_bytes, sixteen};
use crate::{Invalid, required};

impl From<ProcessIdentity> for wire::ProcessIdentity {
    fn from(process: ProcessIdentity) -> Self {
        Self { pid: process.pid, started: process.started }
    }
}

impl From<wire::ProcessIdentity> for ProcessIdentity {
    fn from(process: wire::ProcessIdentity) -> Self {
        Self { pid: process.pid, started: process.started }
    }
}

impl From<TargetIdentity> for wire::TargetIdentity {
    fn from(identity: TargetIdentity) -> Self {
        Self {
            boot_id: identity.boot.get().to_be_bytes().to_vec().into(),
            namespace_cookie: identity.namespace.get(),
            process: identity.process.map(Into::into),
        }
    }
}

impl TryFrom<wire::TargetIdentity> for TargetIdentity {
    type Error = Invalid;

    fn try_from(identity: wire::TargetIdentity) -> Result<Self, Invalid> {
        Ok(Self {
            boot: boot_id(&identity.boot_id)?,
            namespace: NamespaceCookie::new(identity.namespace_cookie),
            process: identity.process.map(Into::into),
        })
    }
}

/// The boot id of a message.
pub(crate) fn boot_id(bytes: &[u8]) -> Result<BootId, Invalid> {
    Ok(BootId::new(u128::from_be_bytes(sixteen(bytes, "boot_id")?)))
}

impl From<Target> for wire::Target {
    fn from(target: Target) -> Self {
        Self {
            identity: Some(target.identity.into()),
            selector: Some((&target.selector).into()),
            addresses: target.addresses.iter().map(Into::into).collect(),
            interfaces: target.interfaces.into_iter().map(Into::into).collect(),
            processes: target.processes.into_iter().map(Into::into).collect(),
            process_count: target.process_count.try_into().unwrap_or(u32::MAX),
            cgroup: target.cgroup.unwrap_or_default(),
            is_host: target.is_host,
            pod: target.pod.map(|uid| uid.as_str().to_owned()).unwrap_or_default(),
        }
    }
}

impl TryFrom<wire::Target> for Target {
    type Error = Invalid;

    fn try_from(target: wire::Target) -> Result<Self, Invalid> {
        Ok(Self {
            identity: required(target.identity, "identity")?.try_into()?,
            selector: required(target.selector, "selector")?.try_into()?,
            addresses: target.addresses.iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
            interfaces: target.interfaces.into_iter().map(Into::into).collect(),
            processes: target
                .processes
                .into_iter()
                .map(TryInto::try_into)
                .collect::<Result<_, _>>()?,
            process_count: target.process_count as usize,
            cgroup: some(target.cgroup),
            is_host: target.is_host,
            pod: match target.pod.as_str() {
                "" => None,
                uid => Some(PodUid::new(uid).ok_or_else(|| Invalid::new("pod", "is no UID"))?),
            },
        })
    }
}

/// proto3 has no absent string: the empty one stands for it.
fn some(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

impl From<&OwnAddress> for wire::OwnAddress {
    fn from(own: &OwnAddress) -> Self {
        Self {
            address: address_bytes(own.address).into(),
            length: own.length.into(),
            interface_index: own.interface,
        }
    }
}

impl TryFrom<&wire::OwnAddress> for OwnAddress {
    type Error = Invalid;

    fn try_from(own: &wire::OwnAddress) -> Result<Self, Invalid> {
        let length = own.length.try_into().map_err(|_| Invalid::new("length", "is above 128"))?;
        Ok(Self {
            address: address(&own.address, "address")?,
            length,
            interface: own.interface_index,
        })
    }
}

impl From<Interface> for wire::Interface {
    fn from(interface: Interface) -> Self {
        Self {
            index: interface.index,
            name: interface.name,
            kind: interface.kind.unwrap_or_default(),
            up: interface.up,
        }
    }
}

impl From<wire::Interface> for Interface {
    fn from(interface: wire::Interface) -> Self {
        Self {
            index: interface.index,
            name: interface.name,
            kind: some(interface.kind),
            up: interface.up,
        }
    }
}

impl From<Process> for wire::Process {
    fn from(process: Process) -> Self {
        Self {
            identity: Some(process.identity.into()),
            name: process.name,
            container: process.container.unwrap_or_default(),
        }
    }
}

impl TryFrom<wire::Process> for Process {
    type Error = Invalid;

    fn try_from(process: wire::Process) -> Result<Self, Invalid> {
        Ok(Self {
            identity: required(process.identity, "identity")?.into(),
            name: process.name,
            container: some(process.container),
        })
    }
}
