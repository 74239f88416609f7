//! The only place that enters a namespace: on a thread of its own, which dies afterwards, or with a
//! process that is there for nothing else.
#![expect(unsafe_code, reason = "SO_NETNS_COOKIE has no safe form")]

use std::fs::File;
use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::thread;

use fault::NamespaceCookie;
use nix::sched::CloneFlags;

/// Runs `work` inside a namespace and returns what it returns.
///
/// The thread ends with the work, so that nothing of ours stays in the namespace, whatever happens.
///
/// # Errors
/// The thread could not be started, or the namespace not entered (no privilege, or no namespace).
pub fn inside<T: Send>(namespace: &File, work: impl FnOnce() -> T + Send) -> io::Result<T> {
    on_a_thread(|| {
        enter(namespace, CloneFlags::CLONE_NEWNET)?;
        Ok(work())
    })
}

/// Runs `work` where control groups are named as the node's first process names them, which a container may
/// have otherwise (cgroup_namespaces(7)); as it is, where that process may not be looked at.
///
/// # Errors
/// The thread could not be started, or there is no right to that process's namespace.
pub fn with_groups_of_node<T: Send>(work: impl FnOnce() -> T + Send) -> io::Result<T> {
    let (node, own) = (Path::new("/proc/1/ns/cgroup"), Path::new("/proc/self/ns/cgroup"));
    let inode = |path: &Path| std::fs::metadata(path).map(|metadata| metadata.ino()).ok();
    if inode(node).is_none() || inode(node) == inode(own) {
        return Ok(work());
    }
    let namespace = File::open(node)?;
    on_a_thread(|| {
        enter(&namespace, CloneFlags::CLONE_NEWCGROUP)?;
        Ok(work())
    })
}

/// Runs `work` inside a new namespace that goes away with the thread.
///
/// # Errors
/// The thread could not be started, or there is no privilege for a new namespace.
pub fn inside_new<T: Send>(work: impl FnOnce() -> T + Send) -> io::Result<T> {
    on_a_thread(|| {
        nix::sched::unshare(CloneFlags::CLONE_NEWNET)?;
        Ok(work())
    })
}

/// The cookie of a namespace (SO_NETNS_COOKIE).
///
/// # Errors
/// It could not be entered, or the kernel is older than 5.14.
pub fn cookie(namespace: &File) -> io::Result<NamespaceCookie> {
    inside(namespace, own_cookie)?
}

/// The cookie of the calling thread's namespace.
///
/// # Errors
/// The kernel is older than 5.14.
pub fn own_cookie() -> io::Result<NamespaceCookie> {
    let socket = std::net::UdpSocket::bind(("127.0.0.1", 0)).or_else(|_| any_socket())?;
    socket_cookie(socket.as_raw_fd())
}

/// A namespace whose loopback is down cannot bind to it; binding to nothing works everywhere.
fn any_socket() -> io::Result<std::net::UdpSocket> {
    std::net::UdpSocket::bind(("0.0.0.0", 0))
}

fn socket_cookie(socket: i32) -> io::Result<NamespaceCookie> {
    let mut cookie = 0_u64;
    let mut length = libc::socklen_t::try_from(size_of::<u64>()).map_err(io::Error::other)?;
    // SAFETY: `cookie` and `length` are live for the call, and `length` is the size of `cookie`.
    let result = unsafe {
        libc::getsockopt(
            socket,
            libc::SOL_SOCKET,
            libc::SO_NETNS_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut length,
        )
    };
    if result == 0 { Ok(NamespaceCookie::new(cookie)) } else { Err(io::Error::last_os_error()) }
}

/// Opens a namespace by the path of its file; close-on-exec, as everything of ours.
///
/// # Errors
/// No such file, or no right to it.
pub fn open(path: &Path) -> io::Result<File> {
    File::open(path)
}

#[expect(clippy::disallowed_methods, reason = "this is the module that enters namespaces")]
fn enter(namespace: &File, kind: CloneFlags) -> io::Result<()> {
    // Without a kind the call would enter whatever the file is.
    nix::sched::setns(borrowed(namespace), kind).map_err(io::Error::from)
}

/// Enters a time namespace with this whole process, for the rest of its life.
///
/// # Errors
/// The process has more than one thread, or no right to it.
#[expect(clippy::disallowed_methods, reason = "this is the module that enters namespaces")]
pub fn join_time(namespace: &File) -> io::Result<()> {
    // CLONE_NEWTIME of include/uapi/linux/sched.h (≥ 5.6); nix has no name for it.
    let time = CloneFlags::from_bits_retain(0x80);
    nix::sched::setns(borrowed(namespace), time).map_err(io::Error::from)
}

fn borrowed(file: &File) -> BorrowedFd<'_> {
    use std::os::fd::AsFd;
    file.as_fd()
}

fn on_a_thread<T: Send>(work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    thread::scope(|scope| {
        let thread =
            thread::Builder::new().name("schism-netns".into()).spawn_scoped(scope, work)?;
        thread.join().unwrap_or_else(|_| Err(io::Error::other("work inside a namespace panicked")))
    })
}
