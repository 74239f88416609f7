//! Runs cases one after the other on one cluster, in the place of the harness of `cargo test`, which knows no end.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    process::ExitCode,
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
    /// Labs of its own, while there is no other.
    Alone(fn()),
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
    /// Cases run one after the other in any case.
    #[arg(long)]
    test_threads: Option<usize>,
}

impl Arguments {
    fn choose(&self, name: &str) -> bool {
        let fits = |one: &String| if self.exact { name == one } else { name.contains(one) };
        (self.filters.is_empty() || self.filters.iter().any(fits)) && !self.skip.iter().any(fits)
    }
}

/// The cluster, as long as there is one.
#[derive(Default)]
struct Lab {
    site: Option<Site>,
    /// What must be again after it.
    before: Surroundings,
}

/// Runs the cases that are asked for, in their order.
pub(crate) fn run(cases: &[Case]) -> ExitCode {
    let arguments = Arguments::parse();
    let chosen: Vec<&Case> = cases.iter().filter(|case| arguments.choose(case.name)).collect();
    if arguments.list {
        for case in chosen {
            println!("{}: test", case.name);
        }
        return ExitCode::SUCCESS;
    }
    eprintln!("\nrunning {} tests, one after the other", chosen.len());
    let (began, mut lab, mut all) = (Instant::now(), Lab::default(), Vec::new());
    for case in &chosen {
        let done = Done::of(case.name, || lab.run(case.ground));
        let has_failed = !done.passed;
        all.push(done);
        if has_failed {
            lab.site.iter().for_each(Site::tell);
            // Nobody knows what it has left: whoever comes next has another cluster.
            all.extend(lab.ended());
        }
    }
    all.extend(lab.ended());
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

/// What came of a case.
struct Done {
    name: &'static str,
    passed: bool,
    took: Duration,
}

impl Done {
    /// Does something that panics where it fails, and tells what came of it.
    fn of(name: &'static str, does: impl FnOnce()) -> Self {
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

impl Lab {
    fn run(&mut self, ground: Ground) {
        match ground {
            Ground::Alone(case) => {
                self.end();
                case();
            }
            Ground::Bare(case) => {
                let site = self.site();
                site.uninstall();
                case(site);
                site.clear();
            }
            Ground::Installed(case) => {
                let site = self.site();
                site.install();
                case(site);
                site.sweep();
            }
        }
    }

    fn site(&mut self) -> &Site {
        if self.site.is_none() {
            self.before = Surroundings::without_lab();
        }
        self.site.get_or_insert_with(Site::start)
    }

    /// The same as a case; `None` where there is no cluster.
    fn ended(&mut self) -> Option<Done> {
        self.site.is_some().then(|| Done::of("nothing_stays_of_a_cluster", || self.end()))
    }

    /// Ends the cluster, if there is one, and makes sure that nothing stays of it.
    fn end(&mut self) {
        if let Some(site) = self.site.take() {
            drop(site);
            assert_eq!(Surroundings::with_lab_of(std::process::id()), self.before);
        }
    }
}
