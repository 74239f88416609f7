//! A Zeebe of pods: its leaders are found by labels of a namespace, and cut apart by objects of the API server.

mod site;

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use lab::zeebe::Cluster;

use crate::Length;
use crate::story::Story;
use crate::suite::{files, tell, values};
use site::Site;

/// Where its experiments are: some of those on the same cluster without Kubernetes.
const EXPERIMENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/experiments/zeebe-pods");

/// Runs them, or only those of these names, and says whether all came to what they should.
///
/// # Errors
/// A cluster does not start, or a command cannot be run.
pub(crate) fn run(length: Length, report: Option<&Path>, only: &[String]) -> Result<ExitCode> {
    let files = files(EXPERIMENTS, only)?;
    let site = Site::open()?;
    let mut stories = Vec::new();
    for file in files {
        let began = Instant::now();
        let ended = site.run(&file, &values(length))?;
        let story = Story::read::<Cluster>(&file, &ended, began.elapsed());
        eprintln!("{story}");
        if !story.is_well() {
            eprintln!("{}\n{}\n{}", ended.said, ended.journal, site.last_words());
        }
        stories.push(story);
        if let Err(error) = site.calm() {
            tell(&stories, report)?;
            return Err(error.context(format!("after {}", file.display())));
        }
    }
    tell(&stories, report)
}
