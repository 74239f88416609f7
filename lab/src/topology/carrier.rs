//! Waiting for links by the kernel's events.

use std::{
    io,
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd},
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::socket::{
        AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, socket,
    },
};

use super::TopologyError;
use crate::netns::{Link, Namespace};

/// Group of link messages, rtnetlink(7).
const RTMGRP_LINK: u32 = 1;

/// The links of a namespace, watched from before they are set up, so that no event is missed.
pub(super) struct Links {
    namespace: Namespace,
    events: OwnedFd,
}

impl Links {
    pub(super) fn watch(namespace: &Namespace) -> Result<Self, TopologyError> {
        let events = namespace.inside(subscribe)?.map_err(|errno| failed(namespace, errno))?;
        Ok(Self { namespace: namespace.clone(), events })
    }

    /// Waits until every link runs and every port of a bridge forwards.
    pub(super) fn wait_up(&self, limit: Duration) -> Result<(), TopologyError> {
        let deadline = Instant::now() + limit;
        loop {
            let links = self.namespace.links()?;
            let down: Vec<&str> =
                links.iter().filter(|link| !is_up(link)).map(|link| link.name.as_str()).collect();
            if down.is_empty() {
                return Ok(());
            }
            if !self.wait_event(deadline)? {
                let namespace = self.namespace.name().to_owned();
                return Err(TopologyError::NoCarrier { namespace, links: down.join(" ") });
            }
        }
    }

    /// Waits for any event, then takes all that are there; false when the deadline came first.
    fn wait_event(&self, deadline: Instant) -> Result<bool, TopologyError> {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        let mut waiting = [PollFd::new(self.events.as_fd(), PollFlags::POLLIN)];
        match poll(&mut waiting, timeout) {
            Ok(0) => return Ok(false),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(failed(&self.namespace, errno)),
        }
        let mut message = [0; 8192];
        loop {
            match recv(self.events.as_raw_fd(), &mut message, MsgFlags::MSG_DONTWAIT) {
                // What an event says is read from the links anew, so an overrun loses nothing.
                Ok(_) | Err(Errno::ENOBUFS) => {}
                Err(Errno::EAGAIN) => return Ok(true),
                Err(errno) => return Err(failed(&self.namespace, errno)),
            }
        }
    }
}

fn subscribe() -> Result<OwnedFd, Errno> {
    let events = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkRoute,
    )?;
    bind(events.as_raw_fd(), &NetlinkAddr::new(0, RTMGRP_LINK))?;
    Ok(events)
}

fn is_up(link: &Link) -> bool {
    link.running && link.forwarding != Some(false)
}

fn failed(namespace: &Namespace, errno: Errno) -> TopologyError {
    let source = io::Error::from(errno);
    TopologyError::Events { namespace: namespace.name().to_owned(), source }
}
