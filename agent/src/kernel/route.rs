//! Devices, addresses and namespace ids through rtnetlink, in the calling thread's namespace.
#![expect(clippy::wildcard_enum_match_arm, reason = "netlink's own enums grow with the kernel")]

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::net::IpAddr;
use std::os::fd::AsRawFd;

use fault::{Interface, OwnAddress};
use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_REQUEST, NetlinkDeserializable, NetlinkHeader, NetlinkMessage,
    NetlinkPayload, NetlinkSerializable,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkInfo, LinkMessage};
use netlink_packet_route::nsid::{NsidAttribute, NsidMessage};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};

use super::Device;

/// Every device.
///
/// # Errors
/// The kernel refused.
pub fn devices() -> io::Result<Vec<Device>> {
    let request = RouteNetlinkMessage::GetLink(LinkMessage::default());
    let answers = ask(NETLINK_ROUTE, request, Ask::Dump)?;
    let links = answers.into_iter().filter_map(|answer| match answer {
        RouteNetlinkMessage::NewLink(link) => Some(device(&link)),
        _ => None,
    });
    Ok(links.collect())
}

fn device(link: &LinkMessage) -> Device {
    let mut device = Device {
        interface: Interface {
            index: link.header.index,
            name: String::new(),
            kind: None,
            up: link.header.flags.contains(LinkFlags::Up),
        },
        loopback: link.header.flags.contains(LinkFlags::Loopback),
        controller: None,
        parent: None,
    };
    let mut parent_elsewhere = false;
    for attribute in &link.attributes {
        match attribute {
            LinkAttribute::IfName(name) => device.interface.name.clone_from(name),
            LinkAttribute::Controller(index) => device.controller = Some(*index),
            LinkAttribute::Link(index) => device.parent = Some(*index),
            LinkAttribute::LinkNetNsId(_) => parent_elsewhere = true,
            LinkAttribute::LinkInfo(infos) => {
                device.interface.kind = infos.iter().find_map(|info| match info {
                    LinkInfo::Kind(kind) => Some(kind.to_string()),
                    _ => None,
                });
            }
            _ => {}
        }
    }
    if parent_elsewhere {
        device.parent = None;
    }
    device
}

/// Every address, and the IPv4 broadcast addresses.
///
/// # Errors
/// The kernel refused.
pub fn addresses() -> io::Result<(Vec<OwnAddress>, BTreeSet<IpAddr>)> {
    let request = RouteNetlinkMessage::GetAddress(AddressMessage::default());
    let mut own = Vec::new();
    let mut broadcasts = BTreeSet::new();
    for answer in ask(NETLINK_ROUTE, request, Ask::Dump)? {
        let RouteNetlinkMessage::NewAddress(message) = answer else { continue };
        let mut address = None;
        let mut local = None;
        for attribute in &message.attributes {
            match attribute {
                AddressAttribute::Address(ip) => address = Some(*ip),
                AddressAttribute::Local(ip) => local = Some(*ip),
                AddressAttribute::Broadcast(ip) => {
                    broadcasts.insert(IpAddr::V4(*ip));
                }
                _ => {}
            }
        }
        // On a point-to-point device IFA_ADDRESS is the other end; IFA_LOCAL is ours (rtnetlink(7)).
        if let Some(address) = local.or(address) {
            own.push(OwnAddress {
                address,
                length: message.header.prefix_len,
                interface: message.header.index,
            });
        }
    }
    own.sort();
    Ok((own, broadcasts))
}

/// The id under which this thread's namespace knows another one; one is given if there is none yet.
///
/// It does not hold the namespace, and goes with it.
///
/// # Errors
/// The kernel refused.
pub fn namespace_id(namespace: &File) -> io::Result<Option<i32>> {
    let descriptor = u32::try_from(namespace.as_raw_fd()).map_err(io::Error::other)?;
    let find = || -> io::Result<Option<i32>> {
        let request = RouteNetlinkMessage::GetNsId(nsid(vec![NsidAttribute::Fd(descriptor)]));
        let answers = ask(NETLINK_ROUTE, request, Ask::One)?;
        Ok(answers.into_iter().find_map(|answer| match answer {
            RouteNetlinkMessage::NewNsId(message) => id_in(&message).filter(|id| *id >= 0),
            _ => None,
        }))
    };
    if let Some(id) = find()? {
        return Ok(Some(id));
    }
    let attributes = vec![NsidAttribute::Fd(descriptor), NsidAttribute::Id(-1)];
    match ask(NETLINK_ROUTE, RouteNetlinkMessage::NewNsId(nsid(attributes)), Ask::Acknowledged) {
        Ok(_) => {}
        // Given by somebody else in between.
        Err(error) if error.raw_os_error() == Some(libc::EEXIST) => {}
        Err(error) => return Err(error),
    }
    find()
}

fn nsid(attributes: Vec<NsidAttribute>) -> NsidMessage {
    let mut message = NsidMessage::default();
    message.attributes = attributes;
    message
}

/// The id in a message about one.
#[must_use]
pub fn id_in(message: &NsidMessage) -> Option<i32> {
    message.attributes.iter().find_map(|attribute| match attribute {
        NsidAttribute::Id(id) => Some(*id),
        _ => None,
    })
}

/// What kind of answer to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// Many messages and an end.
    Dump,
    /// One message.
    One,
    /// Nothing but that it was done.
    Acknowledged,
}

/// A dump that was interrupted by a change (NLM_F_DUMP_INTR) is begun again this many times.
const TRIES: usize = 5;
const NLM_F_DUMP_INTR: u16 = 0x10;
const NLM_F_ACK: u16 = 0x04;

/// Sends one request on a socket of its own and gathers the answers.
pub(super) fn ask<M>(protocol: isize, request: M, kind: Ask) -> io::Result<Vec<M>>
where
    M: NetlinkSerializable + NetlinkDeserializable + Clone,
{
    for _ in 0..TRIES {
        if let Some(answers) = ask_once(protocol, request.clone(), kind)? {
            return Ok(answers);
        }
    }
    Err(io::Error::new(io::ErrorKind::Interrupted, "the tables keep changing"))
}

fn ask_once<M>(protocol: isize, request: M, kind: Ask) -> io::Result<Option<Vec<M>>>
where
    M: NetlinkSerializable + NetlinkDeserializable,
{
    let mut socket = Socket::new(protocol)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    let mut header = NetlinkHeader::default();
    header.sequence_number = 1;
    header.flags = NLM_F_REQUEST
        | match kind {
            Ask::Dump => NLM_F_DUMP,
            Ask::One => 0,
            Ask::Acknowledged => NLM_F_ACK,
        };
    let mut message = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(request));
    message.finalize();
    let mut buffer = vec![0; message.buffer_len()];
    message.serialize(&mut buffer);
    socket.send(&buffer, 0)?;

    let mut answers = Vec::new();
    let mut interrupted = false;
    loop {
        let (datagram, _) = socket.recv_from_full()?;
        let mut rest = datagram.as_slice();
        while rest.len() >= 16 {
            let answer = NetlinkMessage::<M>::deserialize(rest).map_err(io::Error::other)?;
            let length = usize::try_from(answer.header.length).map_err(io::Error::other)?;
            interrupted |= answer.header.flags & NLM_F_DUMP_INTR != 0;
            match answer.payload {
                NetlinkPayload::InnerMessage(inner) => answers.push(inner),
                NetlinkPayload::Done(_) => return Ok((!interrupted).then_some(answers)),
                NetlinkPayload::Error(error) => match error.code {
                    None => return Ok(Some(answers)),
                    Some(code) => return Err(io::Error::from_raw_os_error(code.get().abs())),
                },
                _ => {}
            }
            if kind == Ask::One && !answers.is_empty() {
                return Ok(Some(answers));
            }
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
    }
}
