//! Runs lists of cases at the same time, each on a cluster of its own, in the place of the harness of `cargo test`,
//! which knows no end.

use std::{
    cell::Cell,
    fmt,
    panic::{self, AssertUnwindSafe, catch_unwind},
    process::ExitCode,
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use clap::Parser;

use crate::{site::Site, surroundings::Surroundings};

/// Something that is tested.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) ground: Ground,
}

/// On what a case stands.
#[derive(Clone, Copy)]
pub(crate) enum Ground {
    /// Labs of its own.
    Own(fn()),
    /// The cluster, with nothing of Schism in it. What the case puts there is taken away after it.
    Bare(fn(&Site)),
    /// The cluster, with all that `schism install` prints: one controller leads, and the agents of both nodes have
    /// come. The case leaves that as it was, or takes it away by [`Site::uninstall`].
    Installed(fn(&Site)),
}

/// What `cargo test` may say.
#[derive(Parser)]
struct Arguments {
    /// Parts of names of cases; all of them without any.
    filters: Vec<String>,
    /// The names are whole.
    #[arg(long)]
    exact: bool,
    /// Parts of names of cases that are left out.
    #[arg(long)]
    skip: Vec<String>,
    /// Names the cases, and runs none.
    #[arg(long)]
    list: bool,
    /// Nothing is captured in any case.
    #[arg(long)]
    nocapture: bool,
    /// How many lists go on at the same time, at most; all of them without it.
    #[arg(long)]
    test_threads: Option<usize>,
}

impl Arguments {
    fn choose(&self, name: &str) -> bool {
        let fits = |one: &String| if self.exact { name == one } else { name.contains(one) };
        (self.filters.is_empty() || self.filters.iter().any(fits)) && !self.skip.iter().any(fits)
    }
}

/// Prints a line that says of which case it is: others go on at the same time.
macro_rules! tell {
    ($($text:tt)*) => { $crate::harness::say(format_args!($($text)*)) };
}
pub(crate) use tell;

thread_local! {
    static NAME: Cell<&'static str> = const { Cell::new("") };
}

/// What [`tell`] does.
pub(crate) fn say(line: fmt::Arguments<'_>) {
    let name = NAME.get();
    let case = name.split_once("::").map_or(name, |(module, _)| module);
    eprintln!("{case}: {line}");
}

/// Runs the cases that are asked for: those of a list in their order.
pub(crate) fn run(lists: &[Vec<Case>]) -> ExitCode {
    let arguments = Arguments::parse();
    let chosen = lists
        .iter()
        .map(|list| list.iter().filter(|case| arguments.choose(case.name)).collect::<Vec<&Case>>());
    let chosen: Vec<Vec<&Case>> = chosen.filter(|list| !list.is_empty()).collect();
    if arguments.list {
        for case in chosen.iter().flatten() {
            println!("{}: test", case.name);
        }
        return ExitCode::SUCCESS;
    }
    let (count, began) = (chosen.iter().map(Vec::len).sum::<usize>(), Instant::now());
    eprintln!("\nrunning {count} tests, of {} lists at the same time", chosen.len());
    // What panics in a thread does not say for whom.
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        say(format_args!("it fails"));
        usual(panic);
    }));
    let before = Surroundings::without_lab();
    let threads = arguments.test_threads.unwrap_or(usize::MAX).clamp(1, chosen.len().max(1));
    let (waiting, done) = (Mutex::new(chosen.into_iter()), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some(list) = next else { break };
                    let came = in_turn(&list);
                    done.lock().unwrap_or_else(PoisonError::into_inner).extend(came);
                }
            });
        }
    });
    let mut all = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    all.push(Done::of("nothing_stays_of_clusters", || {
        assert_eq!(Surroundings::with_lab_of(std::process::id()), before);
    }));
    let failed = all.iter().filter(|done| !done.passed).count();
    let verdict = if failed == 0 { "ok" } else { "FAILED" };
    eprintln!();
    for done in &all {
        eprintln!("{done}");
    }
    let (passed, took) = (all.len() - failed, began.elapsed().as_secs_f64());
    eprintln!(
        "\ntest result: {verdict}. {passed} passed; {failed} failed; finished in {took:.1} s"
    );
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs cases one after the other.
fn in_turn(cases: &[&Case]) -> Vec<Done> {
    let (mut site, mut all) = (None, Vec::new());
    for (number, case) in cases.iter().enumerate() {
        let next = if number + 1 < cases.len() { Next::Another } else { Next::Nobody };
        let done = Done::of(case.name, || stand(&mut site, case.ground, next));
        let has_failed = !done.passed;
        all.push(done);
        if has_failed {
            site.iter().for_each(Site::tell);
            // Nobody knows what it has left: whoever comes next has another cluster.
            all.extend(site.take().map(|site| Done::of("a_cluster_ends", || drop(site))));
        }
    }
    all.extend(site.map(|site| Done::of("a_cluster_ends", || drop(site))));
    all
}

/// Who has a cluster after a case.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    Another,
    /// It ends with all that is in it.
    Nobody,
}

/// Runs a case on what it stands on, and takes away what it has left.
fn stand(site: &mut Option<Site>, ground: Ground, next: Next) {
    match ground {
        Ground::Own(case) => case(),
        Ground::Bare(case) => {
            let site = site.get_or_insert_with(Site::start);
            site.uninstall();
            case(site);
            site.clear(next);
        }
        Ground::Installed(case) => {
            let site = site.get_or_insert_with(Site::start);
            site.install();
            case(site);
            site.sweep(next);
        }
    }
}

/// What came of a case.
struct Done {
    name: &'static str,
    passed: bool,
    took: Duration,
}

impl Done {
    /// Does something that panics where it fails, and tells what came of it.
    fn of(name: &'static str, does: impl FnOnce()) -> Self {
        NAME.set(name);
        eprintln!("\ntest {name} ...");
        let began = Instant::now();
        let passed = catch_unwind(AssertUnwindSafe(does)).is_ok();
        let done = Self { name, passed, took: began.elapsed() };
        eprintln!("{done}");
        done
    }
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.passed { "ok" } else { "FAILED" };
        write!(f, "test {} ... {verdict} ({:.1} s)", self.name, self.took.as_secs_f64())
    }
}
