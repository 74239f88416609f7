//! `schism zeebe deploy`.

use std::path::Path;

use serde::Serialize;
use zeebe::model::{Middle, decision, process};
use zeebe::{Deployed, Resource};

use crate::cli::DeployCommand;
use crate::failure::{Cause, Failure};
use crate::outcome::Outcome;
use crate::output::table::{Align, Table};
use crate::output::{Detail, Output, Report};

use super::contact::Contact;
use super::patience::Patience;

/// What the original benchmarks call theirs.
const BENCHMARK: (&str, &str) = ("benchmark", "benchmark-task");

/// What was deployed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct DeployedReport {
    schema: &'static str,
    deployed: Vec<Deployed>,
}

impl Report for DeployedReport {
    fn text(&self, _: Detail) -> String {
        let mut table =
            Table::new(&[("ID", Align::Left), ("VERSION", Align::Right), ("KEY", Align::Right)]);
        for one in &self.deployed {
            table.row(vec![one.id.as_str().into(), one.version.into(), one.key.into()]);
        }
        table.text()
    }

    fn names(&self) -> Vec<String> {
        self.deployed.iter().map(|one| one.key.to_string()).collect()
    }
}

/// Deploys. That it succeeded says nothing of other partitions than the first.
pub(crate) async fn run(
    contact: &Contact,
    what: DeployCommand,
    patience: &Patience,
    output: Output,
) -> Result<Outcome, Failure> {
    let rounds = match what {
        DeployCommand::Process { files } if files.is_empty() => {
            vec![vec![process(BENCHMARK.0, Middle::Job(BENCHMARK.1), 1)]]
        }
        DeployCommand::Process { files } => {
            vec![files.iter().map(|file| read(file)).collect::<Result<_, _>>()?]
        }
        DeployCommand::MultiVersion { count, process: id } => {
            let round = |edition| {
                vec![
                    process(&id, Middle::Nothing, edition),
                    decision(&format!("{id}-decision"), edition),
                ]
            };
            (1..=count).map(round).collect()
        }
    };
    let gateway = contact.gateway();
    let mut deployed = Vec::new();
    for resources in rounds {
        let names: Vec<&str> = resources.iter().map(|one| one.name.as_str()).collect();
        let attempted = format!("cannot deploy {}", names.join(", "));
        let call = async || gateway.deploy(resources.clone(), patience.call()).await;
        deployed.extend(patience.gateway(&attempted, call).await?);
    }
    output.show(&DeployedReport { schema: "schism.zeebe-deployed/v1", deployed })?;
    Ok(Outcome::Effective)
}

fn read(file: &Path) -> Result<Resource, Failure> {
    let attempted = format!("cannot deploy {}", file.display());
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned());
    let ends = |name: &str| {
        Path::new(name)
            .extension()
            .is_some_and(|end| end == "bpmn" || end == "dmn" || end == "form")
    };
    let Some(name) = name.filter(|name| ends(name)) else {
        let reason = "Zeebe knows what a file is by its end: .bpmn, .dmn or .form";
        return Err(Failure::new(Outcome::WrongUsage, attempted, reason));
    };
    let content = std::fs::read(file);
    let content = content.map_err(|error| Failure::caused(Cause::NotFound, attempted, error))?;
    Ok(Resource { name, content })
}
