//! Processes whose clocks cannot be moved: each is refused, and left as it was.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use agent::kernel::clock::memory::Memory;
use agent::kernel::clock::skewed::ClockError;
use agent::kernel::clock::subject::Refusal;
use agent::kernel::clock::vdso;
use agent::kernel::process;
use fault::ProcessIdentity;

use crate::rig::{HOUR, Rig, ahead};
use crate::runtimes::built;

/// A 32-bit program that says that it is there and waits for signals (4 is write there, and 29 pause), as no 32-bit
/// C library is at hand.
const NARROW: &str = "
.globl _start
ready:
    .ascii \"ready\\n\"
_start:
    mov $4, %eax
    mov $1, %ebx
    mov $ready, %ecx
    mov $6, %edx
    int $0x80
wait:
    mov $29, %eax
    int $0x80
    jmp wait
";

/// A program that gives its vDSO back.
const BARE: &str = r#"
#include <stdio.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>
int main(void) {
    munmap((void *)getauxval(AT_SYSINFO_EHDR), 8192);
    puts("ready");
    fflush(stdout);
    for (;;) pause();
}
"#;

/// A program that waits in the kernel until its child, which shares its memory, lets it go on: nothing but
/// SIGKILL reaches it meanwhile. It says who the child is.
const WAITING: &str = r#"
#include <stdio.h>
#include <unistd.h>
int main(void) {
    char text[16];
    pid_t child = vfork();
    if (child == 0) {
        int length = snprintf(text, sizeof text, "%d\n", getpid());
        write(1, text, length);
        pause();
        _exit(0);
    }
    for (;;) pause();
}
"#;

/// A process, killed and reaped with its handle.
struct Stranger(Child);

impl Stranger {
    fn start(program: &Path) -> Self {
        Self(Command::new(program).stdout(Stdio::piped()).spawn().unwrap())
    }

    /// A line that it says.
    fn line(&mut self) -> String {
        let mut line = String::new();
        BufReader::new(self.0.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    fn process(&self) -> ProcessIdentity {
        process::identity(self.0.id()).unwrap()
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_32_bit_program_is_refused() {
    let rig = Rig::new();
    let (source, object) = (rig.directory.path().join("a.s"), rig.directory.path().join("a.o"));
    let program = rig.directory.path().join("narrow");
    fs::write(&source, NARROW).unwrap();
    for (tool, arguments, from, to) in
        [("as", &["--32"][..], &source, &object), ("ld", &["-m", "elf_i386"], &object, &program)]
    {
        let mut command = Command::new(tool);
        assert!(command.args(arguments).arg(from).arg("-o").arg(to).status().unwrap().success());
    }
    let mut narrow = Stranger::start(&program);
    // One that is only on its way there has nothing of its own yet.
    assert_eq!(narrow.line(), "ready");
    let refused = rig.workshop().put_in(narrow.process(), &ahead(HOUR)).unwrap_err();
    assert!(matches!(refused, ClockError::Refused(Refusal::ThirtyTwoBit(_))), "{refused}");
    assert!(rig.records().all().unwrap().is_empty());
}

#[test]
fn a_program_without_a_vdso_is_refused() {
    let rig = Rig::new();
    let directory = rig.directory.path().to_owned();
    let mut bare = Stranger::start(&built(&directory, "bare", ("bare.c", BARE), &["gcc"]));
    assert_eq!(bare.line(), "ready");
    let refused = rig.workshop().put_in(bare.process(), &ahead(HOUR)).unwrap_err();
    assert!(matches!(refused, ClockError::Refused(Refusal::Bare(_))), "{refused}");
    assert!(rig.records().all().unwrap().is_empty());
}

#[test]
fn a_vdso_that_somebody_has_changed_is_refused_and_stays_as_it_is() {
    let rig = Rig::new();
    let mut echo = Command::new("cat");
    let mut other = Stranger(echo.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap());
    // Whoever has executed has no vDSO for a moment; one that answers has.
    writeln!(other.0.stdin.as_mut().unwrap(), "ready").unwrap();
    assert_eq!(other.line(), "ready");
    let pid = other.0.id();
    // As of another kernel's build: a byte in the middle of the code.
    let (place, memory) = (vdso::locate(pid).unwrap().unwrap(), Memory::open(pid).unwrap());
    let at = place.start + 0x800;
    let changed = !memory.read(at, 1).unwrap()[0];
    memory.write(at, &[changed]).unwrap();
    let refused = rig.workshop().put_in(other.process(), &ahead(HOUR)).unwrap_err();
    assert!(matches!(refused, ClockError::Refused(Refusal::Different(_))), "{refused}");
    assert_eq!(memory.read(at, 1).unwrap(), [changed]);
    assert!(rig.records().all().unwrap().is_empty());
}

#[test]
fn a_process_that_waits_in_the_kernel_is_refused_and_left_as_it_was() {
    let rig = Rig::new();
    let directory = rig.directory.path().to_owned();
    let program = built(&directory, "waiting", ("waiting.c", WAITING), &["gcc"]);
    let mut waiting = Stranger::start(&program);
    let child: i32 = waiting.line().parse().unwrap();
    let status = || fs::read_to_string(format!("/proc/{}/status", waiting.0.id())).unwrap();
    assert!(status().contains("State:\tD"), "{}", status());
    let refused = rig.workshop().put_in(waiting.process(), &ahead(HOUR)).unwrap_err().to_string();
    // It is let go on before anything is asserted.
    let child = nix::unistd::Pid::from_raw(child);
    nix::sys::signal::kill(child, nix::sys::signal::Signal::SIGKILL).unwrap();
    assert!(refused.contains("(state D) does not stop in time"), "{refused}");
    assert!(status().contains("TracerPid:\t0\n"), "{}", status());
    rig.assert_untouched(waiting.0.id());
}
