//! Packets of a network namespace as its devices send and receive them, by a packet socket (packet(7)).
#![expect(unsafe_code, reason = "options and the address of a packet socket have no safe form")]

use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};

use fault::{Capture, NodeNetwork, Packet, PacketWay};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, LinkAddr, MsgFlags, SockFlag, SockType, recvmsg,
    setsockopt, socket, sockopt,
};
use nix::sys::time::TimeSpec;
use rustix::net::netdevice;

use super::{KernelError, Linux, Place, process};
use crate::capture::filter::{self, Instruction};

/// What waits to be taken, as much as the kernel counts for it (bytes); what has no room is lost, and counted.
const ROOM: usize = 4 << 20;
/// struct tpacket_auxdata of linux/if_packet.h (bytes), and where in it stands how long a packet was.
const BESIDE: usize = 20;
const LENGTH: std::ops::Range<usize> = 4..8;

/// Packets of a target as they pass. It has one descriptor, which it owns, and no other one later.
pub trait Tap: AsFd + Send {
    /// The next one that waits; `None` where none does. Never waits itself: the descriptor says when there is one.
    ///
    /// # Errors
    /// The kernel's.
    fn take(&mut self) -> io::Result<Option<Packet>>;

    /// What a device is called; empty for one that is gone.
    fn device(&self, index: u32) -> String;

    /// How many wanted packets have passed since it was opened, taken or not.
    ///
    /// # Errors
    /// The kernel's.
    fn passed(&mut self) -> io::Result<u64>;
}

/// Hears the packets of a target.
///
/// # Errors
/// It is gone, or has the node's network and that is not meant, or there is no privilege for it.
pub(super) fn at(
    kernel: &Linux,
    place: &Place,
    capture: &Capture,
) -> Result<Box<dyn Tap>, KernelError> {
    let inode = kernel.inode(place)?;
    let host = process::namespace_inode(process::host_namespace());
    if capture.node == NodeNetwork::Refused && host.is_ok_and(|host| host == inode) {
        return Err(KernelError::Refused {
            reason: format!("{} has the network of the whole node", place.selector.scheme),
            hint: "if all of its packets are meant, say so: --whole-node".to_owned(),
        });
    }
    let program = filter::program(capture);
    let open = || Packets::open(&program, capture.kept.most());
    let packets = kernel.inside(place, || open().map_err(KernelError::call("socket(AF_PACKET)")));
    Ok(Box::new(packets?))
}

/// A packet socket. Its namespace stays as long as it does.
pub(super) struct Packets {
    socket: OwnedFd,
    passed: u64,
    bytes: Vec<u8>,
    beside: Vec<u8>,
}

impl Packets {
    /// Opens one in the namespace of the calling thread. Nothing is taken that the program does not want.
    ///
    /// # Errors
    /// No privilege (CAP_NET_RAW), or what the kernel says of the program.
    pub(super) fn open(program: &[Instruction], most: u16) -> io::Result<Self> {
        // Without a protocol it hears nothing yet, so that nothing passes the program by.
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(AddressFamily::Packet, SockType::Datagram, flags, None)?;
        attach(&socket, program)?;
        option(&socket, libc::SOL_PACKET, libc::PACKET_AUXDATA, &1_i32)?;
        setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
        setsockopt(&socket, sockopt::RcvBufForce, &ROOM)
            .or_else(|_| setsockopt(&socket, sockopt::RcvBuf, &ROOM))?;
        listen(&socket)?;
        let beside = nix::cmsg_space!(TimeSpec, [u8; BESIDE]);
        Ok(Self { socket, passed: 0, bytes: vec![0; most.into()], beside })
    }
}

impl AsFd for Packets {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Tap for Packets {
    fn take(&mut self) -> io::Result<Option<Packet>> {
        let Self { socket, bytes, beside, .. } = self;
        let (socket, flags) = (socket.as_raw_fd(), MsgFlags::MSG_DONTWAIT);
        let mut into = [io::IoSliceMut::new(bytes)];
        let got = loop {
            match recvmsg::<LinkAddr>(socket, &mut into, Some(beside.as_mut_slice()), flags) {
                Err(Errno::EAGAIN) => return Ok(None),
                // A device was taken down, which is told once; packets of others go on.
                Err(Errno::EINTR | Errno::ENETDOWN) => {}
                got => break got?,
            }
        };
        let (mut time, mut length) = (0, None);
        for message in got.cmsgs()? {
            if let ControlMessageOwned::ScmTimestampns(at) = message {
                time = nanos(at);
            } else if let ControlMessageOwned::Unknown(unknown) = message
                && unknown.cmsg_header.cmsg_level == libc::SOL_PACKET
            {
                let told = unknown.data_bytes.get(LENGTH).and_then(|it| it.try_into().ok());
                length = told.map(u32::from_ne_bytes);
            }
        }
        let (kept, from) = (got.bytes, got.address);
        let whole = u32::try_from(kept).unwrap_or(u32::MAX);
        let address = from.as_ref();
        Ok(Some(Packet {
            time,
            interface: address
                .and_then(|from| u32::try_from(from.ifindex()).ok())
                .unwrap_or_default(),
            // The kernel has it in network byte order.
            protocol: address.map_or(0, |from| u16::from_be(from.protocol())),
            hardware: address.map_or(0, LinkAddr::hatype),
            way: address.map_or(PacketWay::Here, |from| way(from.pkttype())),
            sender: address.filter(|from| from.halen() == 6).and_then(LinkAddr::addr),
            length: length.unwrap_or(whole),
            bytes: self.bytes[..kept].to_vec(),
        }))
    }

    fn device(&self, index: u32) -> String {
        netdevice::index_to_name(&self.socket, index).unwrap_or_default()
    }

    fn passed(&mut self) -> io::Result<u64> {
        // Reading it sets it back; what was lost is counted in it, too (packet_getsockopt).
        self.passed += u64::from(statistics(&self.socket)?.tp_packets);
        Ok(self.passed)
    }
}

fn nanos(time: TimeSpec) -> u64 {
    let (seconds, nanos) = (u64::try_from(time.tv_sec()), u64::try_from(time.tv_nsec()));
    seconds.unwrap_or_default() * 1_000_000_000 + nanos.unwrap_or_default()
}

/// linux/if_packet.h; what loops back was sent.
const fn way(kind: u8) -> PacketWay {
    match kind {
        libc::PACKET_BROADCAST => PacketWay::Broadcast,
        libc::PACKET_MULTICAST => PacketWay::Multicast,
        libc::PACKET_OTHERHOST => PacketWay::Elsewhere,
        libc::PACKET_OUTGOING => PacketWay::Out,
        _ => PacketWay::Here,
    }
}

fn option<T>(socket: &OwnedFd, level: i32, name: i32, value: &T) -> io::Result<()> {
    let length = libc::socklen_t::try_from(size_of::<T>()).map_err(io::Error::other)?;
    // SAFETY: `value` is live for the call, and `length` is its size.
    let result = unsafe {
        libc::setsockopt(socket.as_raw_fd(), level, name, std::ptr::from_ref(value).cast(), length)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn attach(socket: &OwnedFd, program: &[Instruction]) -> io::Result<()> {
    let of =
        |one: &Instruction| libc::sock_filter { code: one.code, jt: one.jt, jf: one.jf, k: one.k };
    let mut filter: Vec<libc::sock_filter> = program.iter().map(of).collect();
    let len = filter.len().try_into().map_err(io::Error::other)?;
    // The kernel copies it.
    let program = libc::sock_fprog { len, filter: filter.as_mut_ptr() };
    option(socket, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &program)
}

/// Lets it hear all devices of its namespace.
fn listen(socket: &OwnedFd) -> io::Result<()> {
    let length = size_of::<libc::sockaddr_ll>();
    let address = libc::sockaddr_ll {
        sll_family: u16::try_from(libc::AF_PACKET).map_err(io::Error::other)?,
        sll_protocol: u16::try_from(libc::ETH_P_ALL).map_err(io::Error::other)?.to_be(),
        sll_ifindex: 0,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    let length = libc::socklen_t::try_from(length).map_err(io::Error::other)?;
    // SAFETY: `address` is live for the call, and `length` is its size.
    let result =
        unsafe { libc::bind(socket.as_raw_fd(), std::ptr::from_ref(&address).cast(), length) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn statistics(socket: &OwnedFd) -> io::Result<libc::tpacket_stats> {
    let mut found = libc::tpacket_stats { tp_packets: 0, tp_drops: 0 };
    let mut length = libc::socklen_t::try_from(size_of_val(&found)).map_err(io::Error::other)?;
    // SAFETY: `found` and `length` are live for the call, and `length` is the size of `found`.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_STATISTICS,
            (&raw mut found).cast(),
            &raw mut length,
        )
    };
    if result == 0 { Ok(found) } else { Err(io::Error::last_os_error()) }
}
