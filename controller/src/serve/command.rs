//! `schism serve`.

use agent::supervisor::Supervisor;
use tokio::signal::unix::{SignalKind, signal};

use super::{Account, ByToken, House, Options, start};
use crate::cli::{Global, ServeArgs};
use crate::control::Clusters;
use crate::failure::{Cause, Failure};
use crate::outcome::Outcome;
use crate::output::Output;
use crate::provider::etcd::Etcd;
use crate::provider::kubernetes::Kubernetes;
use crate::provider::zeebe::Zeebe;
use crate::settings::{AgentsBy, KubernetesSettings, ServeSettings};

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
    let kubernetes =
        settings.kubernetes.clone().with(args.kubernetes).with_tokens(by_token).complete()?;
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
    let (kubernetes, by_token) = match &kubernetes {
        Some(settings) => {
            let kubernetes = Kubernetes::new(settings).map_err(|error| failed(&error))?;
            let by_token = by_token_of(settings, &kubernetes).map_err(|error| failed(&error))?;
            (Some(kubernetes), by_token)
        }
        None => (None, None),
    };
    let options = Options {
        state: serve.state,
        socket: serve.socket,
        listen_agents: Some(serve.listen_agents.0),
        listen_control: serve.listen_control.map(|listen| listen.0),
        metrics: serve.metrics.map(|listen| listen.0),
        files: serve.files,
        by_token,
        issued: serve.issued,
        limits: settings.limits,
        clusters: Clusters::new(of_etcd, of_zeebe).within(kubernetes),
        execution: serve.execution,
    };
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| failed(&error))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|error| failed(&error))?;
    let socket = options.socket.clone();
    let controller = start(options).await.map_err(|error| failed(&error))?;
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
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        // Nothing could be healed any more: leases that nobody renews end everything.
        () = controller.failed() => {
            return Err(Failure::caused(Cause::Other, "cannot go on", "the driver of intents has failed"));
        }
        () = supervisor.watched(async || controller.answers().await) => {}
    }
    supervisor.stopping();
    output.note("ending; faults go on until their leases end, or the next start renews them");
    controller.stop().await;
    Ok(Outcome::Effective)
}

/// By which tokens agents come, where they do.
fn by_token_of(
    settings: &KubernetesSettings,
    kubernetes: &Kubernetes,
) -> Result<Option<ByToken>, String> {
    let Some(account) = &settings.agents else { return Ok(None) };
    let client = kubernetes.client().clone();
    let named = settings.namespace.as_ref().map(|name| name.as_str().parse());
    let namespace = match named {
        Some(named) => named.map_err(|error: cluster::NameError| error.to_string())?,
        None => client.config().namespace.clone().ok_or(
            "agents come by token, and it is not known in which namespace: namespace in [kubernetes]",
        )?,
    };
    let name = account.as_str().parse().map_err(|error: cluster::NameError| error.to_string())?;
    let account = Account { namespace: namespace.clone(), name };
    Ok(Some(ByToken { house: House { client, namespace }, account }))
}
