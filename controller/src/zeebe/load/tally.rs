//! What is counted of a load, and what it comes to.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use fault::Chance;
use serde::Serialize;
use tokio::time::Instant;
use zeebe::{Key, PartitionId};

use super::histogram::Histogram;
use super::{Answer, Ended};
use crate::cli::Rate;
use crate::outcome::Outcome;
use crate::output::table::{Align, Cell, Table};
use crate::output::{Detail, Report};

/// What was not sent, as too many were under way.
const WITHHELD: &str = "withheld";

/// An answer that names no instance.
const EMPTY: &str = "empty";

/// Counts.
pub(super) struct Tally {
    rate: Rate,
    began: Instant,
    due: u64,
    under_way: u64,
    succeeded: u64,
    failures: BTreeMap<&'static str, u64>,
    /// What was said of the first of each kind.
    said: BTreeMap<&'static str, String>,
    partitions: BTreeMap<PartitionId, u64>,
    keys: HashSet<Key>,
    duplicates: u64,
    latency: Histogram,
    lateness: Histogram,
    /// When something last succeeded, and the longest that nothing did.
    last: Instant,
    gap: Duration,
}

impl Tally {
    pub(super) fn new(rate: Rate, began: Instant) -> Self {
        Self {
            rate,
            began,
            due: 0,
            under_way: 0,
            succeeded: 0,
            failures: BTreeMap::new(),
            said: BTreeMap::new(),
            partitions: BTreeMap::new(),
            keys: HashSet::new(),
            duplicates: 0,
            latency: Histogram::new(),
            lateness: Histogram::new(),
            last: began,
            gap: Duration::ZERO,
        }
    }

    pub(super) const fn began(&self) -> Instant {
        self.began
    }

    /// How many had their time, so that this is the number of the next.
    pub(super) const fn due(&self) -> u64 {
        self.due
    }

    pub(super) const fn under_way(&self) -> u64 {
        self.under_way
    }

    pub(super) const fn succeeded(&self) -> u64 {
        self.succeeded
    }

    pub(super) const fn failures(&self) -> &BTreeMap<&'static str, u64> {
        &self.failures
    }

    pub(super) fn latency_ms(&self, percent: f64) -> f64 {
        self.latency.percentile_ms(percent)
    }

    /// One is sent, so much after its time.
    pub(super) fn send(&mut self, late: Duration) {
        self.due += 1;
        self.under_way += 1;
        self.lateness.add(late);
    }

    /// One is not sent.
    pub(super) fn withhold(&mut self) {
        self.due += 1;
        self.fail(WITHHELD, "too many were under way");
    }

    /// One is answered.
    pub(super) fn take(&mut self, answer: Answer) {
        self.under_way = self.under_way.saturating_sub(1);
        // Failures count as well: whoever leaves them out praises what answers nobody.
        self.latency.add(answer.at.saturating_duration_since(answer.due));
        let key = match answer.came {
            Ok(key) => key,
            Err(error) => return self.fail(error.kind(), &error.to_string()),
        };
        let Some(partition) = key.partition() else {
            return self.fail(EMPTY, &format!("the key {key} is of no partition"));
        };
        self.succeeded += 1;
        *self.partitions.entry(partition).or_default() += 1;
        if !self.keys.insert(key) {
            self.duplicates += 1;
        }
        self.gap = self.gap.max(answer.at.saturating_duration_since(self.last));
        self.last = self.last.max(answer.at);
    }

    fn fail(&mut self, kind: &'static str, said: &str) {
        *self.failures.entry(kind).or_default() += 1;
        self.said.entry(kind).or_insert_with(|| said.to_owned());
    }
}

/// What it came to.
pub(super) struct Judged {
    pub(super) tally: Tally,
    /// How many may fail; none where nothing was said.
    pub(super) may_fail: Option<Chance>,
    pub(super) ended: Ended,
}

impl Judged {
    /// 1 where more failed than may, or two instances had one key.
    pub(super) fn outcome(&self) -> Outcome {
        let tally = &self.tally;
        let failed: u64 = tally.failures.values().sum();
        let all = u128::from(failed + tally.succeeded);
        let allowed = self.may_fail.map_or(0, Chance::fraction);
        let too_many = u128::from(failed) << 32 > all * u128::from(allowed);
        let empty = tally.failures.contains_key(EMPTY);
        let judged = if too_many || empty || tally.duplicates > 0 {
            Outcome::Deviated
        } else {
            Outcome::Effective
        };
        match self.ended {
            Ended::Whole => judged,
            Ended::Interrupted => judged.worst(Outcome::Interrupted),
        }
    }

    pub(super) fn report(self, outcome: Outcome) -> LoadReport {
        let tally = self.tally;
        // Also the time since the last.
        let gap = tally.gap.max(tally.last.elapsed());
        let Tally { latency, lateness, .. } = &tally;
        LoadReport {
            schema: "schism.zeebe-load/v1",
            exit_code: outcome.code(),
            rate: tally.rate.get(),
            seconds: tally.began.elapsed().as_secs_f64(),
            due: tally.due,
            succeeded: tally.succeeded,
            unanswered: tally.under_way,
            duplicates: tally.duplicates,
            longest_gap_ms: gap.as_secs_f64() * 1000.0,
            latency_ms: Percentiles::of(latency),
            lateness_ms: Percentiles::of(lateness),
            partitions: tally.partitions,
            failures: tally.failures,
            said: tally.said,
        }
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Percentiles {
    p50: f64,
    p90: f64,
    p99: f64,
    p999: f64,
    max: f64,
    mean: f64,
}

impl Percentiles {
    fn of(histogram: &Histogram) -> Self {
        let [p50, p90, p99, p999] = [50.0, 90.0, 99.0, 99.9].map(|p| histogram.percentile_ms(p));
        Self { p50, p90, p99, p999, max: histogram.longest_ms(), mean: histogram.mean_ms() }
    }
}

/// A load that is over.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct LoadReport {
    schema: &'static str,
    exit_code: u8,
    /// How many a second.
    rate: f64,
    seconds: f64,
    /// How many had their time.
    due: u64,
    succeeded: u64,
    /// How many were under way when it was interrupted.
    unanswered: u64,
    /// How many had a key that another had before.
    duplicates: u64,
    /// The longest that nothing succeeded.
    longest_gap_ms: f64,
    /// From the time at which each was due to its answer, whatever that was.
    latency_ms: Percentiles,
    /// From the time at which each was due to its sending.
    lateness_ms: Percentiles,
    partitions: BTreeMap<PartitionId, u64>,
    failures: BTreeMap<&'static str, u64>,
    /// What was said of the first failure of each kind.
    said: BTreeMap<&'static str, String>,
}

impl Report for LoadReport {
    fn text(&self, _: Detail) -> String {
        let mut table = Table::new(&[
            ("", Align::Left),
            ("P50", Align::Right),
            ("P90", Align::Right),
            ("P99", Align::Right),
            ("P99.9", Align::Right),
            ("MAX", Align::Right),
        ]);
        for (what, of) in
            [("answered (ms)", &self.latency_ms), ("sent late (ms)", &self.lateness_ms)]
        {
            let figures = [of.p50, of.p90, of.p99, of.p999, of.max];
            let mut row: Vec<Cell> = vec![what.into()];
            row.extend(figures.map(|figure| format!("{figure:.2}").into()));
            table.row(row);
        }
        let mut text = format!(
            "{} of {} succeeded in {:.1} s; the longest time without: {:.0} ms\n",
            self.succeeded, self.due, self.seconds, self.longest_gap_ms
        );
        text += &table.text();
        for (kind, count) in &self.failures {
            let said = self.said.get(kind).map(String::as_str).unwrap_or_default();
            text += &format!("\n{kind} {count}, the first: {said}");
        }
        if self.unanswered > 0 {
            text += &format!("\n{} were not answered yet", self.unanswered);
        }
        if self.duplicates > 0 {
            text += &format!("\n{} had a key that another had", self.duplicates);
        }
        text
    }

    fn names(&self) -> Vec<String> {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use zeebe::GatewayError;

    use super::*;

    fn tally(keys: &[i64], failures: usize) -> Tally {
        let began = Instant::now();
        let mut tally = Tally::new("10".parse().unwrap(), began);
        let late = Err(GatewayError::Late("x".to_owned()));
        let came = keys.iter().map(|key| Ok(Key(*key))).chain(vec![late; failures]);
        for came in came {
            tally.send(Duration::ZERO);
            tally.take(Answer { due: began, at: began + Duration::from_millis(5), came });
        }
        tally
    }

    fn judged(tally: Tally, may_fail: Option<&str>) -> Outcome {
        let may_fail = may_fail.map(|text| text.parse().unwrap());
        Judged { tally, may_fail, ended: Ended::Whole }.outcome()
    }

    const FIRST: i64 = 1 << 51;

    #[test]
    fn more_failures_than_may_be_are_told() {
        let keys = [FIRST | 1, FIRST | 2, FIRST | 3];
        assert_eq!(judged(tally(&keys, 0), None), Outcome::Effective);
        assert_eq!(judged(tally(&keys, 1), None), Outcome::Deviated);
        assert_eq!(judged(tally(&keys, 1), Some("25%")), Outcome::Effective);
        assert_eq!(judged(tally(&keys, 1), Some("24.9%")), Outcome::Deviated);
        assert_eq!(judged(tally(&[], 1), Some("100%")), Outcome::Effective);
    }

    #[test]
    fn one_key_twice_and_an_empty_answer_are_never_well() {
        assert_eq!(judged(tally(&[FIRST | 1, FIRST | 1], 0), Some("100%")), Outcome::Deviated);
        assert_eq!(judged(tally(&[FIRST | 1, 0], 0), Some("100%")), Outcome::Deviated);
    }

    #[test]
    fn what_is_withheld_has_failed() {
        let mut tally = tally(&[FIRST | 1], 0);
        tally.withhold();
        assert_eq!((tally.due(), tally.under_way()), (2, 0));
        assert_eq!(judged(tally, None), Outcome::Deviated);
    }
}
