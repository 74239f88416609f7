//! The bpf(2) calls that aya has no safe form of: links by interface index, chains, ids.
#![expect(unsafe_code, reason = "bpf(2) has no safe form")]

use std::ffi::CStr;
use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use aya_obj::generated::{
    BPF_F_BEFORE, bpf_attach_type, bpf_attr, bpf_cmd, bpf_link_info, bpf_map_info, bpf_map_type,
    bpf_prog_info,
};
use fault::Side;

/// What the kernel knows a link as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkInfo {
    /// Its id.
    pub id: u32,
    /// Index of its device in the device's namespace; 0 once the device is gone.
    pub interface: u32,
}

/// One program of a hook's chain, first one first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainEntry {
    /// Program id.
    pub program: u32,
    /// Link id; 0 for a program that was attached without a link.
    pub link: u32,
}

/// A program or map in the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Its id.
    pub id: u32,
    /// Its name, at most 15 bytes.
    pub name: String,
    /// Of a program: the ids of the maps that it uses, and keeps alive.
    pub maps: Vec<u32>,
}

/// What can be walked by id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectKind {
    /// Programs.
    Program,
    /// Maps.
    Map,
}

const fn attach_type(side: Side) -> u32 {
    match side {
        Side::Ingress => bpf_attach_type::BPF_TCX_INGRESS as u32,
        Side::Egress => bpf_attach_type::BPF_TCX_EGRESS as u32,
    }
}

fn call(command: bpf_cmd, attributes: &mut bpf_attr) -> io::Result<RawFd> {
    // SAFETY: `attributes` is a live, wholly initialised union of the size that is passed; pointers in it
    // are set by the callers below to buffers that outlive the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command as u32,
            std::ptr::from_mut(attributes),
            size_of::<bpf_attr>(),
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    RawFd::try_from(result).map_err(io::Error::other)
}

fn attributes() -> bpf_attr {
    // SAFETY: the union consists of integers, for which all zeroes is a value; the kernel demands zeroes.
    unsafe { zeroed() }
}

fn owned(descriptor: RawFd) -> OwnedFd {
    // SAFETY: the kernel just made this descriptor for us (close-on-exec), and nobody else has it.
    unsafe { OwnedFd::from_raw_fd(descriptor) }
}

/// Puts a program first on a device of the calling thread's namespace (tcx, ≥ 6.6). The link ends with its
/// descriptor.
///
/// # Errors
/// No such device, no privilege, or an older kernel.
pub fn attach_first(program: BorrowedFd<'_>, interface: u32, side: Side) -> io::Result<OwnedFd> {
    let mut attributes = attributes();
    attributes.link_create.__bindgen_anon_1.prog_fd = descriptor(program)?;
    attributes.link_create.__bindgen_anon_2.target_ifindex = interface;
    attributes.link_create.attach_type = attach_type(side);
    attributes.link_create.flags = BPF_F_BEFORE;
    call(bpf_cmd::BPF_LINK_CREATE, &mut attributes).map(owned)
}

fn descriptor(fd: BorrowedFd<'_>) -> io::Result<u32> {
    u32::try_from(fd.as_raw_fd()).map_err(io::Error::other)
}

/// What a link is by now.
///
/// # Errors
/// The descriptor is no link.
pub fn link_info(link: BorrowedFd<'_>) -> io::Result<LinkInfo> {
    // SAFETY: integers and unions of integers, for which all zeroes is a value.
    let mut info: bpf_link_info = unsafe { zeroed() };
    object_info(link, (&raw mut info).cast(), size_of::<bpf_link_info>())?;
    // SAFETY: every field of the union is made of integers, and we ask this of tcx links only.
    let interface = unsafe { info.__bindgen_anon_1.tcx.ifindex };
    Ok(LinkInfo { id: info.id, interface })
}

fn object_info(object: BorrowedFd<'_>, info: *mut libc::c_void, length: usize) -> io::Result<()> {
    let mut attributes = attributes();
    attributes.info.bpf_fd = descriptor(object)?;
    attributes.info.info_len = u32::try_from(length).map_err(io::Error::other)?;
    attributes.info.info = info as u64;
    call(bpf_cmd::BPF_OBJ_GET_INFO_BY_FD, &mut attributes).map(drop)
}

/// The programs of a hook of a device of the calling thread's namespace.
///
/// # Errors
/// No such device.
pub fn chain(interface: u32, side: Side) -> io::Result<Vec<ChainEntry>> {
    // The kernel holds at most 64 programs in a chain (include/net/tcx.h, BPF_MPROG_MAX).
    let mut programs = [0_u32; 64];
    let mut links = [0_u32; 64];
    let mut attributes = attributes();
    attributes.query.__bindgen_anon_1.target_ifindex = interface;
    attributes.query.attach_type = attach_type(side);
    attributes.query.prog_ids = programs.as_mut_ptr() as u64;
    attributes.query.link_ids = links.as_mut_ptr() as u64;
    attributes.query.__bindgen_anon_2.count = 64;
    match call(bpf_cmd::BPF_PROG_QUERY, &mut attributes) {
        Ok(_) => {}
        // A device on which nothing was ever attached.
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    }
    // SAFETY: both members of the union are the same integer.
    let count = unsafe { attributes.query.__bindgen_anon_2.count } as usize;
    let entries = programs.iter().zip(&links).take(count);
    Ok(entries.map(|(program, link)| ChainEntry { program: *program, link: *link }).collect())
}

/// Every program or map of the kernel whose name begins with `prefix`.
///
/// # Errors
/// No privilege to walk ids (CAP_SYS_ADMIN).
pub fn objects(kind: ObjectKind, prefix: &str) -> io::Result<Vec<Object>> {
    let mut found = Vec::new();
    for (id, descriptor) in walk(kind)? {
        let name = name_of(kind, &descriptor)?;
        if !name.starts_with(prefix) {
            continue;
        }
        let maps = match kind {
            ObjectKind::Program => maps_of(&descriptor)?,
            ObjectKind::Map => Vec::new(),
        };
        found.push(Object { id, name, maps });
    }
    Ok(found)
}

/// How many maps there are that join sockets past the packet path (sockmap, sockhash).
///
/// # Errors
/// No privilege to walk ids (CAP_SYS_ADMIN).
pub fn sock_maps() -> io::Result<usize> {
    let joins = |kind: u32| {
        kind == bpf_map_type::BPF_MAP_TYPE_SOCKMAP as u32
            || kind == bpf_map_type::BPF_MAP_TYPE_SOCKHASH as u32
    };
    let maps = walk(ObjectKind::Map)?;
    let kinds = maps.iter().map(|(_, descriptor)| map_info(descriptor).map(|info| info.type_));
    Ok(kinds.collect::<io::Result<Vec<u32>>>()?.into_iter().filter(|kind| joins(*kind)).count())
}

/// Opens every program or map, one after the other.
fn walk(kind: ObjectKind) -> io::Result<Vec<(u32, OwnedFd)>> {
    let (next, open) = match kind {
        ObjectKind::Program => (bpf_cmd::BPF_PROG_GET_NEXT_ID, bpf_cmd::BPF_PROG_GET_FD_BY_ID),
        ObjectKind::Map => (bpf_cmd::BPF_MAP_GET_NEXT_ID, bpf_cmd::BPF_MAP_GET_FD_BY_ID),
    };
    let mut found = Vec::new();
    let mut id = 0;
    loop {
        let mut attributes = attributes();
        attributes.__bindgen_anon_6.__bindgen_anon_1.start_id = id;
        match call(next, &mut attributes) {
            Ok(_) => {}
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => return Ok(found),
            Err(error) => return Err(error),
        }
        // SAFETY: the command filled this member, an integer.
        id = unsafe { attributes.__bindgen_anon_6.next_id };
        let mut by_id = self::attributes();
        by_id.__bindgen_anon_6.__bindgen_anon_1.start_id = id;
        // It may have gone since.
        if let Ok(descriptor) = call(open, &mut by_id) {
            found.push((id, owned(descriptor)));
        }
    }
}

fn map_info(map: &OwnedFd) -> io::Result<bpf_map_info> {
    // SAFETY: integers, for which all zeroes is a value.
    let mut info: bpf_map_info = unsafe { zeroed() };
    object_info(map.as_fd(), (&raw mut info).cast(), size_of::<bpf_map_info>())?;
    Ok(info)
}

fn program_info(program: &OwnedFd) -> io::Result<bpf_prog_info> {
    // SAFETY: integers, for which all zeroes is a value.
    let mut info: bpf_prog_info = unsafe { zeroed() };
    object_info(program.as_fd(), (&raw mut info).cast(), size_of::<bpf_prog_info>())?;
    Ok(info)
}

/// The maps that a program uses. They do not change once it is loaded but by BPF_PROG_BIND_MAP, which adds.
fn maps_of(program: &OwnedFd) -> io::Result<Vec<u32>> {
    let count = program_info(program)?.nr_map_ids;
    let mut ids = vec![0_u32; count as usize];
    // SAFETY: integers, for which all zeroes is a value.
    let mut info: bpf_prog_info = unsafe { zeroed() };
    info.nr_map_ids = count;
    info.map_ids = ids.as_mut_ptr() as u64;
    object_info(program.as_fd(), (&raw mut info).cast(), size_of::<bpf_prog_info>())?;
    Ok(ids)
}

fn name_of(kind: ObjectKind, object: &OwnedFd) -> io::Result<String> {
    let name = match kind {
        ObjectKind::Program => program_info(object)?.name,
        ObjectKind::Map => map_info(object)?.name,
    };
    let bytes: Vec<u8> = name.iter().map(|c| c.to_ne_bytes()[0]).collect();
    Ok(CStr::from_bytes_until_nul(&bytes)
        .map(CStr::to_string_lossy)
        .unwrap_or_default()
        .into_owned())
}
