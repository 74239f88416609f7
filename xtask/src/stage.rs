//! Stages of a suite: each is timed, and their budgets are part of the contract.

use std::{
    fmt,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};

/// A budget that several stages share. Being over it is a defect, and is told as one; it fails nothing,
/// because a slow machine is not a wrong change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Budget {
    /// Installing, compiling, and the eBPF toolchain.
    Build,
    /// What tests the cut, and what is told of it.
    Cut,
    /// What tests controllers and agents together.
    Fleet,
    /// What tests clocks, and what else is done to processes.
    Clock,
    /// What runs experiments, by ours and as the original does.
    Experiments,
    /// What tests a real Zeebe, with its start.
    Zeebe,
    /// What tests in a real Kubernetes, with the build of its components.
    Kubernetes,
}

impl Budget {
    const ALL: [Self; 7] = [
        Self::Build,
        Self::Cut,
        Self::Fleet,
        Self::Clock,
        Self::Experiments,
        Self::Zeebe,
        Self::Kubernetes,
    ];

    fn limit(self) -> Duration {
        match self {
            Self::Build => Duration::from_secs(18 * 60),
            Self::Cut => Duration::from_secs(6 * 60),
            Self::Fleet | Self::Experiments => Duration::from_secs(4 * 60),
            Self::Clock => Duration::from_secs(5 * 60),
            Self::Zeebe => Duration::from_secs(6 * 60),
            Self::Kubernetes => Duration::from_secs(12 * 60),
        }
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Build => "build",
            Self::Cut => "cut",
            Self::Fleet => "fleet",
            Self::Clock => "clock",
            Self::Experiments => "experiments",
            Self::Zeebe => "zeebe",
            Self::Kubernetes => "kubernetes",
        })
    }
}

/// What was run so far and how long it took.
#[derive(Debug, Default)]
pub(crate) struct Stages {
    done: Vec<(&'static str, Budget, Duration)>,
    failed: Vec<(&'static str, anyhow::Error)>,
}

impl Stages {
    /// Runs one stage whose failure does not keep the others from telling what they have to tell.
    pub(crate) fn check(
        &mut self,
        name: &'static str,
        budget: Budget,
        work: impl FnOnce() -> Result<()>,
    ) {
        if let Err(error) = self.run(name, budget, work) {
            eprintln!("{error:#}");
            self.failed.push((name, error));
        }
    }

    /// Whether all checks passed.
    ///
    /// # Errors
    /// The first that failed, with the names of all.
    pub(crate) fn verdict(&mut self) -> Result<()> {
        let names: Vec<&str> = self.failed.iter().map(|(name, _)| *name).collect();
        let names = names.join(", ");
        match self.failed.drain(..).next() {
            Some((_, error)) => Err(error.context(format!("failed: {names}"))),
            None => Ok(()),
        }
    }

    /// Runs one stage without which the rest means nothing; its error names it.
    pub(crate) fn run(
        &mut self,
        name: &'static str,
        budget: Budget,
        work: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        eprintln!("\n== {name}");
        let began = Instant::now();
        let result = work();
        let took = began.elapsed();
        self.done.push((name, budget, took));
        let verdict = if result.is_ok() { "passed" } else { "FAILED" };
        eprintln!("== {name} {verdict} after {:.1} s", took.as_secs_f64());
        result.with_context(|| format!("stage `{name}` failed"))
    }

    /// The table of all stages with their seconds and budgets.
    pub(crate) fn table(&self) -> String {
        let mut table = format!("{:<18}{:>9}  {}\n", "stage", "seconds", "budget");
        for (name, budget, took) in &self.done {
            table += &format!("{name:<18}{:>9.1}  {budget}\n", took.as_secs_f64());
        }
        for budget in Budget::ALL {
            let spent = self.spent(budget).as_secs_f64();
            let limit = budget.limit().as_secs();
            table += &format!("all of {budget:<11}{spent:>9.1}  of {limit} s\n");
        }
        table
    }

    /// A line for every budget that was exceeded.
    pub(crate) fn over_budget(&self) -> Vec<String> {
        let over = Budget::ALL.into_iter().filter(|budget| self.spent(*budget) > budget.limit());
        over.map(|budget| {
            let (spent, limit) = (self.spent(budget).as_secs(), budget.limit().as_secs());
            format!("DEFECT: the {budget} stages took {spent} s of {limit} s")
        })
        .collect()
    }

    fn spent(&self, budget: Budget) -> Duration {
        self.done.iter().filter(|(_, of, _)| *of == budget).map(|(_, _, took)| took).sum()
    }
}

#[cfg(test)]
mod tests {
    use anyhow::bail;

    use super::*;

    #[test]
    fn a_budget_is_shared_by_its_stages() {
        let mut stages = Stages::default();
        stages.done.push(("root", Budget::Cut, Duration::from_secs(200)));
        stages.done.push(("build", Budget::Build, Duration::from_secs(1000)));
        assert!(stages.over_budget().is_empty());
        stages.done.push(("etcd", Budget::Cut, Duration::from_secs(161)));
        assert_eq!(stages.over_budget(), ["DEFECT: the cut stages took 361 s of 360 s"]);
    }

    #[test]
    fn a_failed_stage_is_named_and_in_the_table() {
        let mut stages = Stages::default();
        let error = stages.run("fmt", Budget::Cut, || bail!("no")).unwrap_err();
        assert_eq!(format!("{error:#}"), "stage `fmt` failed: no");
        assert!(stages.table().contains("fmt"));
    }

    #[test]
    fn all_checks_are_made_and_all_that_failed_are_named() {
        let mut stages = Stages::default();
        stages.check("tidy", Budget::Cut, || bail!("untidy"));
        stages.check("unit", Budget::Cut, || Ok(()));
        stages.check("root", Budget::Cut, || bail!("wrong"));
        let error = stages.verdict().unwrap_err();
        assert_eq!(format!("{error:#}"), "failed: tidy, root: stage `tidy` failed: untidy");
        assert!(stages.table().contains("unit"));
    }
}
