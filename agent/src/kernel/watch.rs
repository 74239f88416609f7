//! Events of rtnetlink from every followed namespace, through one socket outside of them all.
//!
//! A socket in a target's namespace would keep it alive. NETLINK_LISTEN_ALL_NSID (≥ 4.2) instead delivers
//! the events of each namespace that ours has an id for; the id comes as a control message.
#![expect(unsafe_code, reason = "control messages of netlink have no safe form")]
#![expect(clippy::wildcard_enum_match_arm, reason = "netlink's own enums grow with the kernel")]

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write};
use std::mem::{size_of, zeroed};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use fault::NamespaceCookie;
use netlink_packet_core::{NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::Stir;
use super::route;

/// RTNLGRP_* of include/uapi/linux/rtnetlink.h: link, IPv4 and IPv6 addresses, namespace ids.
const GROUPS: [u32; 4] = [1, 5, 9, 28];

/// Our own namespace has no id; its events come without one.
type Followed = Arc<Mutex<HashMap<Option<i32>, NamespaceCookie>>>;

/// A thread that listens until this is dropped.
pub(super) struct Watch {
    followed: Followed,
    own: NamespaceCookie,
    sender: UnboundedSender<Stir>,
    /// Dropped or written to, it wakes the thread, which then ends.
    stop: UnixStream,
}

impl Watch {
    /// Begins to listen, in the calling thread's namespace.
    pub(super) fn start(own: NamespaceCookie) -> io::Result<(Self, UnboundedReceiver<Stir>)> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind(&SocketAddr::new(0, 0))?;
        for group in GROUPS {
            socket.add_membership(group)?;
        }
        socket.set_listen_all_namespaces(true)?;
        let (stop, stopped) = UnixStream::pair()?;
        let followed = Followed::default();
        let (sender, receiver) = unbounded_channel();
        let known = Arc::clone(&followed);
        let told = sender.clone();
        thread::Builder::new()
            .name("schism-watch".into())
            .spawn(move || listen(&socket, &stopped, &known, &told))?;
        Ok((Self { followed, own, sender, stop }, receiver))
    }

    /// What has a target looked at.
    pub(super) fn stirrer(&self) -> impl Fn(NamespaceCookie) + Send + 'static {
        let sender = self.sender.clone();
        move |target| {
            // Nobody may be listening.
            let _ = sender.send(Stir::In(target));
        }
    }

    /// Whether this namespace is followed already.
    pub(super) fn follows(&self, cookie: NamespaceCookie) -> bool {
        let followed = self.followed.lock().unwrap_or_else(PoisonError::into_inner);
        followed.values().any(|known| *known == cookie)
    }

    /// Tells of what stirs in this namespace from now on. Must be called in our own namespace.
    pub(super) fn follow(&self, cookie: NamespaceCookie, namespace: &File) -> io::Result<()> {
        let id = if cookie == self.own { None } else { route::namespace_id(namespace)? };
        self.followed.lock().unwrap_or_else(PoisonError::into_inner).insert(id, cookie);
        Ok(())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // The thread ends by the closed socket, too.
        let _ = self.stop.write_all(&[0]);
    }
}

fn listen(
    socket: &Socket,
    stopped: &UnixStream,
    followed: &Followed,
    sender: &UnboundedSender<Stir>,
) {
    let mut buffer = vec![0_u8; 64 * 1024];
    while wait(socket.as_raw_fd(), stopped.as_raw_fd()) {
        let stir = match receive(socket.as_raw_fd(), &mut buffer) {
            Ok((length, id)) => stir_of(&buffer[..length], id, followed),
            // Events were lost (netlink(7)).
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => Some(Stir::Anywhere),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => None,
            Err(error) => {
                tracing::warn!(%error, "rtnetlink events end; the slow timer goes on");
                return;
            }
        };
        if let Some(stir) = stir
            && sender.send(stir).is_err()
        {
            return;
        }
    }
}

/// Waits for an event; false when it is time to end.
fn wait(socket: RawFd, stopped: RawFd) -> bool {
    let interest = |fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    let mut both = [interest(socket), interest(stopped)];
    // SAFETY: the array is live for the call and its length is passed.
    let result = unsafe { libc::poll(both.as_mut_ptr(), 2, -1) };
    let interrupted = result < 0 && io::Error::last_os_error().kind() == io::ErrorKind::Interrupted;
    (result > 0 || interrupted) && both[1].revents == 0
}

/// Receives one datagram and the id of the namespace that it came from.
fn receive(socket: RawFd, buffer: &mut [u8]) -> io::Result<(usize, Option<i32>)> {
    // Room for one int, aligned as a control message has to be.
    let mut control = [0_u64; 8];
    let mut vector = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: integers and pointers, for which all zeroes is a value.
    let mut header: libc::msghdr = unsafe { zeroed() };
    header.msg_iov = &raw mut vector;
    header.msg_iovlen = 1;
    header.msg_control = control.as_mut_ptr().cast();
    // Of another width with each C library.
    header.msg_controllen = size_of::<[u64; 8]>() as _;
    // SAFETY: every pointer in `header` is to a live buffer of the length beside it.
    let length = unsafe { libc::recvmsg(socket, &raw mut header, 0) };
    let length = usize::try_from(length).map_err(|_| io::Error::last_os_error())?;
    let mut id = None;
    // SAFETY: the kernel has filled `header`, and the macros stay inside of its control buffer.
    let mut message = unsafe { libc::CMSG_FIRSTHDR(&raw const header) };
    while !message.is_null() {
        // SAFETY: not null, and inside of the control buffer, as the macros saw to.
        let kind = unsafe { ((*message).cmsg_level, (*message).cmsg_type) };
        if kind == (libc::SOL_NETLINK, libc::NETLINK_LISTEN_ALL_NSID) {
            // SAFETY: this message carries one int.
            id = Some(unsafe { libc::CMSG_DATA(message).cast::<i32>().read_unaligned() });
        }
        // SAFETY: as for the first one.
        message = unsafe { libc::CMSG_NXTHDR(&raw const header, message) };
    }
    Ok((length, id))
}

fn stir_of(datagram: &[u8], id: Option<i32>, followed: &Followed) -> Option<Stir> {
    let mut followed = followed.lock().unwrap_or_else(PoisonError::into_inner);
    let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(datagram).ok()?;
    let NetlinkPayload::InnerMessage(message) = message.payload else { return None };
    let cookie = match &message {
        // The namespace is gone, and its id free for another one.
        RouteNetlinkMessage::DelNsId(gone) => followed.remove(&Some(route::id_in(gone)?)),
        RouteNetlinkMessage::NewLink(_)
        | RouteNetlinkMessage::DelLink(_)
        | RouteNetlinkMessage::NewAddress(_)
        | RouteNetlinkMessage::DelAddress(_) => followed.get(&id).copied(),
        _ => None,
    };
    cookie.map(Stir::In)
}
