//! `schism zeebe verify job-completion` and `job-push`.

use std::time::Duration;

use zeebe::{Gateway, GatewayError, Jobs};

use crate::cli::CompletionArgs;
use crate::failure::Failure;
use crate::outcome::Outcome;
use crate::output::Output;

use super::contact::Contact;
use super::patience::{Look, Patience};
use super::report::verdict;

/// How long jobs are given out for: whoever dies with one gives it back after this.
const GIVEN: Duration = Duration::from_secs(10);

/// How long a gateway waits for jobs before it says that there are none.
const WAIT: Duration = Duration::from_secs(2);

/// How many are taken at once.
const MOST: u32 = 32;

/// Completes so many jobs.
pub(crate) async fn verify(
    contact: &Contact,
    args: &CompletionArgs,
    patience: &Patience,
    output: Output,
) -> Result<Outcome, Failure> {
    let gateway = contact.gateway();
    let mut completed = 0;
    let reached = patience.until("jobs are not completed", async || {
        let jobs = Jobs {
            kind: args.job_type.clone(),
            worker: "schism".to_owned(),
            timeout: GIVEN,
            most: (args.count - completed).min(MOST),
        };
        match some(gateway, &jobs, patience, &mut completed).await {
            Ok(()) => {}
            Err(error) if error.is_passing() => {
                return Look::Not(format!("{completed} of {}: {error}", args.count));
            }
            Err(error) => return Look::Never(error.to_string()),
        }
        let said = format!("{completed} of {} of type {}", args.count, args.job_type);
        if completed >= args.count { Look::Holds(said) } else { Look::Not(said) }
    });
    verdict("job-completion", reached.await, output)
}

/// Waits until every broker pushes jobs to a worker of the gateway.
pub(crate) async fn pushed(
    contact: &Contact,
    job_type: &str,
    patience: &Patience,
    output: Output,
) -> Result<Outcome, Failure> {
    let (gateway, at) = (contact.gateway(), contact.management(patience.call())?);
    let reached = patience.until("jobs are not pushed", async || {
        let (streams, topology) = tokio::join!(at.job_streams(), gateway.topology(patience.call()));
        let (streams, topology) = match (streams, topology) {
            (Ok(streams), Ok(topology)) => (streams, topology),
            (Err(error), _) => return Look::Not(error.to_string()),
            (_, Err(error)) => return Look::Not(error.to_string()),
        };
        let size = topology.cluster_size;
        let of_type = streams.iter().filter(|stream| stream.job_type == job_type);
        match of_type.map(|stream| stream.connected_to.len()).max() {
            None => Look::Not(format!("no worker waits for jobs of type {job_type}")),
            Some(count) if u32::try_from(count).unwrap_or(u32::MAX) < size => {
                Look::Not(format!("{count} of {size} brokers push jobs of type {job_type}"))
            }
            Some(count) => Look::Holds(format!("{count} brokers push jobs of type {job_type}")),
        }
    });
    verdict("job-push", reached.await, output)
}

/// Takes some jobs and completes them; counts each at once, as those before one that fails are completed.
async fn some(
    gateway: &Gateway,
    jobs: &Jobs,
    patience: &Patience,
    completed: &mut u32,
) -> Result<(), GatewayError> {
    for job in gateway.activate(jobs, Some(WAIT), patience.call()).await? {
        gateway.complete(job.key, patience.call()).await?;
        *completed += 1;
    }
    Ok(())
}
