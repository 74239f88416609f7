//! Programs of the usual runtimes, started before the skew, asked what time it is from inside.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use agent::kernel::clock::skewed::Restored;
use agent::kernel::clock::truth;
use agent::kernel::process;

use crate::rig::{HOUR, Rig, ahead, nanos, now};

const LEASE: Duration = Duration::from_secs(15);

/// For every line that it reads, each of these prints one: what its ways of asking for the time say in
/// nanoseconds, of which the last is monotonic.
const C: &str = r#"
#include <stdio.h>
#include <time.h>
#include <sys/time.h>
static long long ns(struct timespec t) { return t.tv_sec * 1000000000LL + t.tv_nsec; }
int main(void) {
    char line[16];
    while (fgets(line, sizeof line, stdin)) {
        struct timespec r, c, m;
        struct timeval v;
        clock_gettime(CLOCK_REALTIME, &r);
        clock_gettime(CLOCK_REALTIME_COARSE, &c);
        gettimeofday(&v, 0);
        time_t s = time(0);
        clock_gettime(CLOCK_MONOTONIC, &m);
        printf("%lld %lld %lld %lld %lld\n", ns(r), ns(c),
            v.tv_sec * 1000000000LL + v.tv_usec * 1000LL, s * 1000000000LL, ns(m));
        fflush(stdout);
    }
}
"#;

const GO: &str = r#"package main
import ("bufio"; "fmt"; "os"; "time")
func main() {
	start := time.Now()
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		now := time.Now()
		fmt.Println(now.UnixNano(), time.Now().UnixMilli()*1000000, now.Sub(start).Nanoseconds())
	}
}
"#;

const JAVA: &str = r#"
import java.io.*;
import java.time.Instant;
class Clocks {
    public static void main(String[] args) throws IOException {
        var lines = new BufferedReader(new InputStreamReader(System.in));
        while (lines.readLine() != null) {
            var now = Instant.now();
            System.out.println(System.currentTimeMillis() * 1000000 + " "
                + (now.getEpochSecond() * 1000000000 + now.getNano()) + " " + System.nanoTime());
        }
    }
}
"#;

pub(crate) const PYTHON: &str = r"
import sys, time, datetime
for _ in sys.stdin:
    print(time.time_ns(), int(datetime.datetime.now().timestamp() * 1e6) * 1000, time.monotonic_ns(), flush=True)
";

const NODE: &str = r"
require('readline').createInterface({ input: process.stdin }).on('line', () =>
    console.log(`${Date.now() * 1e6} ${process.hrtime.bigint()}`));
";

pub(crate) struct Program {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Program {
    pub(crate) fn start(command: &mut Command) -> Self {
        let started = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = started.unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let stdin = child.stdin.take().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self { child, stdin, stdout }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The wall clocks' distances from the truth, within a second and a bit, and the monotonic time.
    pub(crate) fn ask(&mut self) -> (Vec<i64>, i64) {
        let before = truth::read(libc::CLOCK_REALTIME).unwrap();
        writeln!(self.stdin).unwrap();
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        let mut times: Vec<i64> =
            line.split_whitespace().map(|word| word.parse().unwrap()).collect();
        let monotonic = times.pop().unwrap_or_else(|| panic!("nothing was said"));
        (times.into_iter().map(|time| time - before).collect(), monotonic)
    }

    fn assert_offset(&mut self, name: &str, offset: Duration) -> i64 {
        let (distances, monotonic) = self.ask();
        assert!(!distances.is_empty());
        for distance in distances {
            let off = distance - nanos(offset);
            // Whole seconds are as old as a second; an answer takes its time on a busy machine.
            assert!((-1_100_000_000..5_000_000_000).contains(&off), "{name}: off by {off} ns");
        }
        monotonic
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn built(
    directory: &Path,
    name: &str,
    source: (&str, &str),
    compiler: &[&str],
) -> PathBuf {
    let (file, text) = source;
    let source = directory.join(file);
    fs::write(&source, text).unwrap();
    let program = directory.join(name);
    let (first, rest) = compiler.split_first().unwrap();
    let mut command = Command::new(first);
    command.args(rest).arg("-o").arg(&program).arg(&source).current_dir(directory);
    let status = command.env("HOME", directory).status();
    assert!(status.unwrap_or_else(|error| panic!("{command:?}: {error}")).success(), "{command:?}");
    program
}

/// All of it for one program.
fn skewed_and_restored(rig: &Rig, name: &str, command: &mut Command) {
    let workshop = rig.workshop();
    let mut program = Program::start(command);
    // It is up once it answers.
    let first = program.assert_offset(name, Duration::ZERO);
    let process = process::identity(program.child.id()).unwrap();
    let mut skewed =
        workshop.put_in(process, &ahead(HOUR)).unwrap_or_else(|error| panic!("{name}: {error}"));
    program.assert_offset(name, Duration::ZERO);
    skewed.begin(now(), now() + LEASE).unwrap();
    let second = program.assert_offset(name, HOUR);
    assert!((first..first + nanos(HOUR) / 2).contains(&second), "{name}: monotonic time stays");
    skewed.end().unwrap();
    program.assert_offset(name, Duration::ZERO);
    skewed.begin(now(), now() + LEASE).unwrap();
    program.assert_offset(name, HOUR);
    let restored = workshop.heal(skewed).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(restored, Restored::Whole, "{name}");
    program.assert_offset(name, Duration::ZERO);
    rig.assert_untouched(process.pid);
}

#[test]
fn c_against_glibc_and_musl() {
    let rig = Rig::new();
    let directory = rig.directory.path().to_owned();
    for (name, compiler) in [
        ("glibc", &["gcc"][..]),
        ("glibc-static", &["gcc", "-static"]),
        ("musl-static", &["musl-gcc", "-static"]),
    ] {
        let program = built(&directory, name, ("clocks.c", C), compiler);
        skewed_and_restored(&rig, name, &mut Command::new(program));
    }
}

#[test]
fn go() {
    let rig = Rig::new();
    let directory = rig.directory.path().to_owned();
    let program = built(&directory, "go-clocks", ("clocks.go", GO), &["go", "build"]);
    skewed_and_restored(&rig, "go", &mut Command::new(program));
}

#[test]
fn java_of_every_version_here() {
    let rig = Rig::new();
    let source = rig.directory.path().join("Clocks.java");
    fs::write(&source, JAVA).unwrap();
    let machines = fs::read_dir("/usr/lib/jvm").unwrap().flatten().map(|entry| entry.path());
    // Links are other names for the same.
    let machines = machines.filter(|path| !path.is_symlink() && path.join("bin/java").exists());
    let machines: Vec<PathBuf> = machines.collect();
    assert!(!machines.is_empty(), "needs a Java development kit");
    for machine in machines {
        let mut command = Command::new(machine.join("bin/java"));
        skewed_and_restored(&rig, &machine.to_string_lossy(), command.arg(&source));
    }
}

#[test]
fn python() {
    let rig = Rig::new();
    skewed_and_restored(&rig, "python", Command::new("/usr/bin/python3").args(["-c", PYTHON]));
}

#[test]
fn node() {
    let rig = Rig::new();
    skewed_and_restored(&rig, "node", Command::new("node").args(["-e", NODE]));
}
