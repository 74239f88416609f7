//! `schism serve`.

use agent::supervisor::Supervisor;
use tokio::signal::unix::{SignalKind, signal};

use super::{Account, ByToken, House, Options, start_unless};
use crate::cli::{Global, ServeArgs};
use crate::control::Clusters;
use crate::experiments::Jobs;
use crate::failure::{Cause, Failure};
use crate::outcome::Outcome;
use crate::output::Output;
use crate::provider::etcd::Etcd;
use crate::provider::kubernetes::Kubernetes;
use crate::provider::zeebe::Zeebe;
use crate::settings::{AgentsBy, Keeping, KubernetesSettings, ServeSettings};

/// Serves until it is asked to end. Faults go on without it until their leases end.
pub(crate) async fn run(
    args: ServeArgs,
    global: &Global,
    output: Output,
) -> Result<Outcome, Failure> {
    let attempted = "cannot serve";
    agent::telemetry::start(agent::telemetry::LogFormat::Text);
    let settings = crate::settings(global)?;
    let typed = ServeSettings {
        socket: args.socket,
        listen_agents: args.listen_agents,
        listen_control: args.listen_control,
        metrics: args.metrics,
        ca: global.controller.ca.clone(),
        certificate: global.controller.certificate.clone(),
        key: global.controller.key.clone(),
        issued: args.issued,
        state: args.state,
        allow_exec: args.allow_exec.then_some(true),
    };
    let by_token = args.agents_by_token.then_some(true);
    let kubernetes = settings.kubernetes.clone().with(args.kubernetes).with_tokens(by_token);
    let in_cluster = args.store_in_cluster.then_some(true);
    let kubernetes = kubernetes.with_store(in_cluster).complete()?;
    let agents_by = match kubernetes.as_ref().and_then(|kubernetes| kubernetes.agents.as_ref()) {
        Some(_) => AgentsBy::Token,
        None => AgentsBy::Certificate,
    };
    let serve = typed.over(settings.serve.clone()).complete(agents_by)?;
    let failed =
        |error: &dyn std::fmt::Display| Failure::caused(Cause::Other, attempted, error.to_string());
    std::fs::create_dir_all(&serve.state)
        .map_err(|error| failed(&format!("{}: {error}", serve.state.display())))?;
    let (mut of_etcd, mut of_zeebe) = (Vec::new(), Vec::new());
    for (name, etcd) in settings.etcd() {
        let asked = Etcd::new(etcd.endpoints.clone(), etcd.credentials.as_ref());
        of_etcd.push((name.clone(), asked.map_err(|error| failed(&error))?));
    }
    for (name, zeebe) in settings.zeebe() {
        of_zeebe.push((name.clone(), Zeebe::new(zeebe).map_err(|error| failed(&error))?));
    }
    let (kubernetes, by_token, store_in) = match &kubernetes {
        Some(settings) => {
            let kubernetes = Kubernetes::new(settings).map_err(|error| failed(&error))?;
            let (by_token, store_in) =
                housed(settings, &kubernetes).map_err(|error| failed(&error))?;
            (Some(kubernetes), by_token, store_in)
        }
        None => (None, None, None),
    };
    let options = Options {
        state: serve.state,
        socket: serve.socket,
        listen_agents: Some(serve.listen_agents.0),
        listen_control: serve.listen_control.map(|listen| listen.0),
        metrics: serve.metrics.map(|listen| listen.0),
        files: serve.files,
        by_token,
        store_in,
        issued: serve.issued,
        limits: settings.limits,
        clusters: Clusters::new(of_etcd, of_zeebe).within(kubernetes),
        execution: serve.execution,
        jobs: jobs(&args.experiments_in, args.image).map_err(|error| failed(&error))?,
        captures: settings.capture.captures(),
    };
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| failed(&error))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|error| failed(&error))?;
    let socket = options.socket.clone();
    let mut asked_to_end = std::pin::pin!(async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    });
    let started = start_unless(options, asked_to_end.as_mut()).await;
    let Some(controller) = started.map_err(|error| failed(&error))? else {
        return Ok(Outcome::Effective);
    };
    output.note(format!("controller: unix:{}", socket.display()));
    if let Some(agents) = controller.agents {
        output.note(format!("agents dial {agents}"));
    }
    if let Some(control) = controller.control {
        output.note(format!("commands dial tcp:{control}"));
    }
    if let Some(metrics) = controller.metrics {
        output.note(format!("metrics: http://{metrics}/metrics"));
    }
    let supervisor = Supervisor::from_environment();
    supervisor.ready();
    tokio::select! {
        () = asked_to_end => {}
        // Nothing could be healed any more: leases that nobody renews end everything.
        reason = controller.failed() => {
            return Err(Failure::caused(Cause::Other, "cannot go on", reason));
        }
        () = supervisor.watched(async || controller.answers().await) => {}
    }
    supervisor.stopping();
    output.note("ending; faults go on until their leases end, or the next start renews them");
    controller.stop().await;
    Ok(Outcome::Effective)
}

/// Where experiments may run as Jobs, and from which image.
fn jobs(namespaces: &[String], image: Option<String>) -> Result<Option<Jobs>, String> {
    // What a chart is not told is empty.
    let named = namespaces.iter().filter(|name| !name.is_empty());
    let namespaces: Result<Vec<cluster::Namespace>, _> = named.map(|name| name.parse()).collect();
    let namespaces = namespaces.map_err(|error: cluster::NameError| error.to_string())?;
    match image.filter(|image| !image.is_empty()) {
        _ if namespaces.is_empty() => Ok(None),
        Some(image) => Ok(Some(Jobs { image, namespaces })),
        None => Err("the image from which Jobs take this program is not known: --image".to_owned()),
    }
}

/// By which tokens agents come, where they do, and where the store is, where it is in the cluster.
fn housed(
    settings: &KubernetesSettings,
    kubernetes: &Kubernetes,
) -> Result<(Option<ByToken>, Option<House>), String> {
    let client = kubernetes.client().clone();
    let named = settings.namespace.as_ref().map(|name| name.as_str().parse());
    let own = client.config().namespace.clone();
    let is_needed = settings.agents.is_some() || settings.store == Keeping::Cluster;
    let namespace = match named {
        Some(named) => named.map_err(|error: cluster::NameError| error.to_string())?,
        None => {
            match own {
                Some(own) => own,
                None if is_needed => {
                    return Err("in which namespace this controller is installed is not known: namespace in \
                            [kubernetes]"
                    .to_owned());
                }
                None => return Ok((None, None)),
            }
        }
    };
    let house = House { client, namespace };
    let by_token = match &settings.agents {
        Some(account) => {
            let name = account.as_str().parse();
            let name = name.map_err(|error: cluster::NameError| error.to_string())?;
            let account = Account { namespace: house.namespace.clone(), name };
            Some(ByToken { house: house.clone(), account })
        }
        None => None,
    };
    let store_in = match settings.store {
        Keeping::Cluster => Some(house),
        Keeping::Disk => None,
    };
    Ok((by_token, store_in))
}
