//! The node's clock is set in mid-cut.
//!
//! This machine's clock is not touched. The agent is started with a shim before the C library that shifts
//! CLOCK_REALTIME for it alone, and the programs are read for a helper that could tell the wall clock.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use lab::clock::BootTime;
use proto::agent as wire;

use crate::bounds::{Binary, put_in};
use crate::rig::{Rig, packet_cut, stream, terms};

/// Shifts the wall clock by what stands in the file that SCHISM_SHIFT names, and leaves word that it did.
const SHIM: &str = r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long shift(void) {
    const char *path = getenv("SCHISM_SHIFT");
    char text[32] = {0};
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return 0;
    ssize_t length = read(file, text, sizeof text - 1);
    close(file);
    return length > 0 ? atol(text) : 0;
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    long result = syscall(SYS_clock_gettime, clock, time);
    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE || clock == CLOCK_TAI))
        time->tv_sec += shift();
    return result;
}

int gettimeofday(struct timeval *restrict time, void *restrict zone) {
    (void)zone;
    struct timespec now;
    int result = clock_gettime(CLOCK_REALTIME, &now);
    time->tv_sec = now.tv_sec;
    time->tv_usec = now.tv_nsec / 1000;
    return result;
}

time_t time(time_t *out) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out) *out = now.tv_sec;
    return now.tv_sec;
}
"#;

/// The shim, compiled, and the file that says by how much; gone with this.
struct Shift {
    directory: PathBuf,
}

impl Shift {
    fn build() -> Self {
        let directory = std::env::temp_dir().join(format!("schism-{}-shift", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let source = directory.join("shim.c");
        fs::write(&source, SHIM).unwrap();
        // The C compiler that Rust links with.
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(directory.join("shim.so")).arg(source);
        assert!(compiler.status().unwrap().success());
        let shift = Self { directory };
        shift.by(0);
        shift
    }

    fn library(&self) -> PathBuf {
        self.directory.join("shim.so")
    }

    fn file(&self) -> PathBuf {
        self.directory.join("seconds")
    }

    /// Written whole before it takes the old one's place, so that no reader sees half of it.
    fn by(&self, seconds: i64) {
        let new = self.directory.join("new");
        fs::write(&new, seconds.to_string()).unwrap();
        fs::rename(new, self.file()).unwrap();
    }

    fn under(&self, command: &mut Command) {
        command.env("LD_PRELOAD", self.library()).env("SCHISM_SHIFT", self.file());
    }

    /// What `date` makes of the clock under the shim, in seconds.
    fn date(&self) -> i64 {
        let mut command = Command::new("date");
        self.under(command.arg("+%s"));
        String::from_utf8(command.output().unwrap().stdout).unwrap().trim().parse().unwrap()
    }
}

impl Drop for Shift {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_hour_on_the_wall_clock_changes_nothing_of_a_cut() {
    let rig = Rig::pair();
    let shift = Shift::build();
    let binary = Binary::start_with("shift", |command| {
        shift.under(command);
    });
    let mut client = binary.client().await;
    let maps = fs::read_to_string(format!("/proc/{}/maps", binary.process.id())).unwrap();
    assert!(maps.contains("shim.so"), "the agent runs without the shim");
    let real = shift.date();
    shift.by(3_600);
    assert!((3_500..3_700).contains(&(shift.date() - real)), "the shim does not shift");
    shift.by(0);

    for seconds in [3_600, -3_600] {
        let fault =
            fault::Fault { terms: terms(2_000, 60_000), ..rig.fault("a", "b", packet_cut()) };
        put_in(&mut client, &fault).await;
        let there = stream(rig.node("a"), rig.node("b"));
        let end = status(&mut client, &fault).await.lease_end;
        shift.by(seconds);
        assert!(
            there.wait_arrival(BootTime::now(), Duration::from_millis(600)).is_none(),
            "{seconds}"
        );
        let found = status(&mut client, &fault).await;
        assert_eq!(found.state(), wire::State::Active, "{seconds}");
        assert_eq!(found.lease_end, end, "{seconds}");
        renew(&mut client, &fault).await;
        let renewed = BootTime::from_nanos(status(&mut client, &fault).await.lease_end);
        assert!(renewed - BootTime::now() < Duration::from_secs(2), "{seconds}");
        shift.by(0);
        let passed = there.wait_arrival(BootTime::now(), Duration::from_secs(3)).unwrap();
        assert!(passed >= renewed, "{seconds}: the clock ended it early");
        // How exactly it ends is what `bounds` measures; here an hour would be in question.
        assert!(passed - renewed < Duration::from_millis(500), "{seconds}: {:?}", passed - renewed);
    }
}

type Client = proto::agent::agent_client::AgentClient<tonic::transport::Channel>;

async fn status(client: &mut Client, fault: &fault::Fault) -> wire::Status {
    let list = client.list(wire::ListRequest {}).await.unwrap().into_inner();
    let id = Some(fault.id.into());
    let is = |status: &wire::Status| status.fault.as_ref().is_some_and(|fault| fault.id == id);
    list.faults.into_iter().find(is).unwrap()
}

async fn renew(client: &mut Client, fault: &fault::Fault) {
    let id: wire::FaultId = fault.id.into();
    let heartbeat = wire::Heartbeat {
        renew: vec![id],
        watch: vec![id],
        report_every_ns: 0,
        ..Default::default()
    };
    let mut events = client.session(tokio_stream::iter([heartbeat])).await.unwrap().into_inner();
    let event = events.message().await.unwrap().unwrap();
    let Some(wire::event::Kind::Renewed(renewed)) = event.kind else { panic!("{event:?}") };
    assert_eq!(renewed.ids, [id]);
}

/// bpf_ktime_get_tai_ns of include/uapi/linux/bpf.h: the one helper that follows the wall clock.
const KTIME_GET_TAI_NS: i32 = 208;
/// bpf_ktime_get_boot_ns.
const KTIME_GET_BOOT_NS: i32 = 125;

#[test]
fn the_programs_cannot_tell_the_wall_clock() {
    let object = aya_obj::Object::parse(agent_ebpf::OBJECT).unwrap();
    let instructions = object.functions.values().flat_map(|function| &function.instructions);
    // A call (0x85) of a helper has no source register.
    let helpers: std::collections::BTreeSet<i32> = instructions
        .filter(|instruction| instruction.code == 0x85 && instruction.src_reg() == 0)
        .map(|instruction| instruction.imm)
        .collect();
    assert!(helpers.contains(&KTIME_GET_BOOT_NS), "{helpers:?}");
    assert!(!helpers.contains(&KTIME_GET_TAI_NS), "{helpers:?}");
}
