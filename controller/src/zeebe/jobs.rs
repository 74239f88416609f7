//! `schism zeebe verify job-completion`.

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
