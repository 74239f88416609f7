//! Who answers for the files of a mount, by mountinfo (proc_pid_mountinfo(5)): no file system is asked.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

use crate::kernel::process;

/// File systems whose files are read without anybody being asked who may not answer.
const PROMPT: [&str; 12] = [
    "bcachefs", "btrfs", "devtmpfs", "ext2", "ext3", "ext4", "f2fs", "jfs", "ramfs", "tmpfs",
    "xfs", "zfs",
];
/// Those of them in which a number is that of several files: each of their subvolumes counts from the beginning.
const SUBDIVIDED: [&str; 2] = ["bcachefs", "btrfs"];

/// The number of a mount: nobody else's as long as something of it is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MountId(pub(super) u64);

/// Who answers for the files of a mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answers {
    /// The node itself.
    Promptly(Numbers),
    /// Whoever has the other end of a terminal.
    Terminal,
    /// Somebody who may keep others waiting.
    Somebody,
    /// Nobody is known who has it mounted.
    Unknown,
}

/// What the number of a file says within its mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Numbers {
    /// Which file it is.
    Telling,
    /// Not alone.
    Repeated,
}

/// A line of mountinfo.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mount {
    id: MountId,
    /// The file system, wherever it is mounted.
    device: String,
    point: PathBuf,
    kind: String,
    options: String,
}

/// Who answers for a mount on which a process has a file open.
///
/// # Errors
/// /proc cannot be read.
pub(super) fn answers(mount: MountId, pid: u32) -> io::Result<Answers> {
    let Some(found) = find(mount, pid)? else { return Ok(Answers::Unknown) };
    Ok(match found.kind.as_str() {
        "devpts" => Answers::Terminal,
        "overlay" => of_overlay(&found, &of_node()),
        kind => of_kind(kind),
    })
}

fn of_kind(kind: &str) -> Answers {
    match PROMPT.contains(&kind) {
        true if SUBDIVIDED.contains(&kind) => Answers::Promptly(Numbers::Repeated),
        true => Answers::Promptly(Numbers::Telling),
        false => Answers::Somebody,
    }
}

/// What is written to an overlay is in the upper one of its layers, wherever that lies. Where the node's first
/// process has the same one mounted, as it has those of runtimes, a path is what it is to that process; elsewhere
/// somebody may have made it who has a part in what its paths lead to.
fn of_overlay(overlay: &Mount, of_node: &[Mount]) -> Answers {
    let same = |mount: &&Mount| mount.kind == "overlay" && mount.device == overlay.device;
    let upper = of_node.iter().find(same).and_then(|mount| upper(&mount.options));
    let below = upper.and_then(|upper| {
        let covers = of_node.iter().filter(|mount| upper.starts_with(&mount.point));
        // Of those at one place the last is above the others.
        covers.max_by_key(|mount| mount.point.components().count())
    });
    match below.map(|mount| of_kind(&mount.kind)) {
        // It tells files of one layer by their own numbers.
        Some(Answers::Promptly(_)) => Answers::Promptly(Numbers::Telling),
        Some(Answers::Somebody | Answers::Terminal | Answers::Unknown) | None => Answers::Somebody,
    }
}

fn upper(options: &str) -> Option<PathBuf> {
    let named = options.split(',').find_map(|option| option.strip_prefix("upperdir="))?;
    Some(unescaped(named)).filter(|path| path.is_absolute())
}

/// A mount, wherever somebody has it. A file may have been opened by somebody who sees other mounts than whoever
/// writes to it: most likely by one of those that started it.
fn find(mount: MountId, pid: u32) -> io::Result<Option<Mount>> {
    let mut seen = BTreeSet::new();
    let mut search = |pid: u32| {
        let link = |of: &str| fs::read_link(format!("/proc/{pid}/{of}")).ok();
        // Whoever has another root is shown only what is below it.
        if let Some(view) = link("ns/mnt").zip(link("root"))
            && !seen.insert(view)
        {
            return None;
        }
        let first = format!("{} ", mount.0);
        mountinfo(pid).lines().find(|line| line.starts_with(&first)).and_then(parse)
    };
    let near = process::line(pid).into_iter().chain([std::process::id()]);
    for pid in near.collect::<Vec<u32>>() {
        if let Some(found) = search(pid) {
            return Ok(Some(found));
        }
    }
    Ok(process::all()?.into_iter().find_map(search))
}

/// As the node's first process has them, or we where that one may not be looked at.
fn of_node() -> Vec<Mount> {
    let first = of_process(1);
    if first.is_empty() { of_process(std::process::id()) } else { first }
}

fn of_process(pid: u32) -> Vec<Mount> {
    mountinfo(pid).lines().filter_map(parse).collect()
}

/// Nothing of a process that has ended.
fn mountinfo(pid: u32) -> String {
    let text = fs::read(format!("/proc/{pid}/mountinfo")).unwrap_or_default();
    String::from_utf8_lossy(&text).into_owned()
}

fn parse(line: &str) -> Option<Mount> {
    // Spaces in names are escaped, so that nobody's name can be taken for it.
    let (mounted, of_system) = line.split_once(" - ")?;
    let mut mounted = mounted.split(' ');
    let id = MountId(mounted.next()?.parse().ok()?);
    // Behind the number of the mount that it is on, and behind what of the file system is mounted.
    let (device, point) = (mounted.nth(1)?.to_owned(), unescaped(mounted.nth(1)?));
    let mut of_system = of_system.split(' ');
    let kind = of_system.next()?.to_owned();
    // Behind what was mounted.
    let options = of_system.nth(1).unwrap_or_default().to_owned();
    Some(Mount { id, device, point, kind, options })
}

/// What the kernel writes as a backslash and three octal digits is that byte (seq_escape).
fn unescaped(text: &str) -> PathBuf {
    let mut parts = text.split('\\');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let byte = part.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match byte.zip(part.get(3..)) {
            Some((byte, rest)) => {
                bytes.push(byte);
                bytes.extend_from_slice(rest.as_bytes());
            }
            None => {
                bytes.push(b'\\');
                bytes.extend_from_slice(part.as_bytes());
            }
        }
    }
    PathBuf::from(OsString::from_vec(bytes))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_line_says_which_mount_of_what() {
        let line = r"36 35 98:0 /mnt1 /mnt\0402\011x rw,noatime master:1 - ext3 /dev/root rw,a=b";
        let mount = Mount {
            id: MountId(36),
            device: "98:0".to_owned(),
            point: "/mnt 2\tx".into(),
            kind: "ext3".to_owned(),
            options: "rw,a=b".to_owned(),
        };
        assert_eq!(parse(line), Some(mount));
        for broken in
            ["", "36 35 98:0", "x 35 98:0 / / rw - ext4 a b", "36 35 98:0 / / rw ext4 a b"]
        {
            assert_eq!(parse(broken), None, "{broken}");
        }
        assert_eq!(unescaped(r"a\134b\x\"), Path::new(r"a\b\x\"));
    }

    #[test]
    fn an_overlay_is_as_prompt_as_what_is_below_it_where_the_node_has_it_mounted() {
        let of_node: Vec<Mount> = [
            "1 0 254:0 / / rw - ext4 /dev/vda rw",
            "2 1 0:50 / /srv rw - nfs4 server:/ rw",
            "3 1 254:1 / /srv/local rw - xfs /dev/vdb rw",
            "4 1 0:51 / /home/some\\040body rw - fuse.sshfs far rw",
            "10 1 0:60 / /run/a rw - overlay overlay rw,lowerdir=/x,upperdir=/var/a,workdir=/y",
            "11 1 0:61 / /run/b rw - overlay overlay rw,lowerdir=/x,upperdir=/srv/b,workdir=/y",
            "12 1 0:62 / /run/c rw - overlay overlay rw,upperdir=/srv/local/c,workdir=/y",
            "13 1 0:63 / /run/d rw - overlay overlay rw,upperdir=/home/some\\040body/d",
            "14 1 0:64 / /run/e rw - overlay overlay ro,lowerdir=/x:/y",
            "15 1 0:65 / /run/f rw - overlay overlay rw,upperdir=f",
            "16 1 0:66 / /run/g rw - overlay overlay rw,upperdir=/run/a/g",
        ]
        .into_iter()
        .map(|line| parse(line).unwrap())
        .collect();
        let seen = |device: &str| {
            let line = format!("99 98 {device} / / rw - overlay overlay rw,upperdir=/var/own");
            of_overlay(&parse(&line).unwrap(), &of_node)
        };
        let promptly = Answers::Promptly(Numbers::Telling);
        for (device, answers) in [
            ("0:60", promptly),
            ("0:61", Answers::Somebody),
            ("0:62", promptly),
            ("0:63", Answers::Somebody),
            ("0:64", Answers::Somebody),
            ("0:65", Answers::Somebody),
            ("0:66", Answers::Somebody),
            // The node has none of these.
            ("0:67", Answers::Somebody),
            ("254:0", Answers::Somebody),
        ] {
            assert_eq!(seen(device), answers, "{device}");
        }
    }
}
