//! `kubectl schism capture`: an object with the hash of a secret, and the packets from the controller's own pod.
//!
//! The way there is `kubectl port-forward`, as a child: who runs a plugin of kubectl has it, it asks as the same user,
//! and it knows what the API server's streams look like today.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use cluster::{ApiError, Client, Event, Name, Namespace, Precondition, Reason, Selection, Within};
use fault::{Capture as Wanted, Kept, NodeNetwork, Selector};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::Line;
use crate::capture::file::{Destination, Existing};
use crate::capture::{Asked, Told};
use crate::failure::{Cause, Failure};
use crate::fleet;
use crate::fleet::client::Client as Controller;
use crate::interrupts::Interrupts;
use crate::objects::asked::selector;
use crate::objects::resource::Kind;
use crate::objects::user::refused;
use crate::outcome::Outcome;
use crate::output::Output;
use crate::tickets::PORT;
use crate::tickets::book::{Hash, SECRET};
use crate::tickets::resource::{Capture, Phase, Spec, Status};

/// How long a controller may take to make a ticket good.
const READY: Duration = Duration::from_secs(15);
/// How long a way to a pod may take.
const WAY: Duration = Duration::from_secs(15);

/// What was typed.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Typed {
    /// What the object asks for, but for the ticket and who asks.
    pub(super) spec: Spec,
    /// The same, as the command has it.
    pub(super) total: Duration,
    pub(super) most: u64,
    /// Where packets are kept.
    pub(super) write: Option<PathBuf>,
    pub(super) existing: Existing,
}

/// The user's own way to a cluster, as kubectl is told of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Way {
    kubeconfig: Option<PathBuf>,
    context: Option<String>,
}

impl From<&Line> for Way {
    fn from(line: &Line) -> Self {
        Self { kubeconfig: line.kubeconfig.clone(), context: line.context.clone() }
    }
}

/// Captures, to the end.
pub(super) async fn run(
    client: &Client,
    namespace: &str,
    typed: Typed,
    way: &Way,
    output: Output,
) -> Result<Outcome, Failure> {
    let asked = typed.asked(namespace)?;
    let output = asked.words(output);
    let attempted = asked.attempted.clone();
    let mut interrupts = Interrupts::listen()
        .map_err(|error| Failure::new(Outcome::Unconfirmed, attempted.clone(), error))?;
    let made = asked.make()?;
    let within = within(namespace, &attempted)?;
    let mut secret = [0; SECRET];
    getrandom::fill(&mut secret)
        .map_err(|error| Failure::new(Outcome::Unconfirmed, attempted.clone(), error))?;
    let name = format!("capture-{:06x}", crate::cut::random()? & 0xff_ffff);
    let mut object = Object { client, within, name, attempted: &attempted, there: There::Not };
    let begun = async {
        let user = client.who_am_i().await.map_err(|error| refused(&attempted, &error))?;
        let spec = Spec {
            ticket: Hash::of(&secret).to_string(),
            requested_by: Some(user.username),
            ..typed.spec.clone()
        };
        let pod = object.made_good(namespace, spec).await?;
        output.note(format!("Capture {namespace}/{}, by pod {pod}", object.name));
        let (child, stream) = forwarded(&pod, way, &attempted).await?;
        let pieces = Controller::redeem(stream, &attempted, secret.to_vec()).await?;
        let told = fleet::capture::received(attempted.clone(), pieces).await?;
        Ok((child, told))
    };
    let result = match interrupts.unless(&attempted, begun).await {
        Ok((child, told)) => kept(told, &asked, made, &mut interrupts, output, child).await,
        Err(failure) => Err(failure),
    };
    // Its packets are had, or never will be.
    object.delete(output).await;
    result
}

/// Keeps what comes. The way to the pod is there until the end.
async fn kept(
    told: Told,
    asked: &Asked,
    made: Option<crate::capture::file::Made>,
    interrupts: &mut Interrupts,
    output: Output,
    child: Child,
) -> Result<Outcome, Failure> {
    let over = told.keep(asked, made, &[], interrupts, output).await;
    drop(child);
    over?.conclude(&[], output).await
}

fn within(namespace: &str, attempted: &str) -> Result<Namespace, Failure> {
    namespace
        .parse()
        .map_err(|error: cluster::NameError| Failure::new(Outcome::WrongUsage, attempted, error))
}

impl Typed {
    /// What is asked for, checked as far as that goes without a cluster.
    fn asked(&self, namespace: &str) -> Result<Asked, Failure> {
        let attempted = format!("cannot capture the packets of {}", self.spec.target);
        let wrong = |reason: String| Failure::new(Outcome::WrongUsage, attempted.clone(), reason);
        let target = selector(Kind::Fault, namespace, &self.spec.target).map_err(wrong)?;
        let target: Selector = target.parse().map_err(|error: fault::SelectorError| {
            Failure::new(Outcome::WrongUsage, attempted.clone(), error)
        })?;
        if self.total > Wanted::LONGEST {
            return Err(wrong("a capture lasts at most 10m".to_owned()));
        }
        let capture = Wanted {
            peers: Vec::new(),
            port: self.spec.port,
            kept: self.spec.snaplen.map_or(Kept::Headers, Kept::Bytes),
            total: self.total,
            most: self.most,
            node: NodeNetwork::Refused,
        };
        let destination = self.write.clone().map(|path| Destination::of(path, self.existing));
        Ok(Asked::of_cluster(attempted, target, capture, destination))
    }
}

/// The object, from its creation to its end.
struct Object<'a> {
    client: &'a Client,
    within: Namespace,
    name: String,
    attempted: &'a str,
    there: There,
}

/// Whether an object is there to be deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
enum There {
    /// It was not created.
    Not,
    /// Nobody has answered.
    Perhaps,
    /// It was created, and is this one.
    Is { uid: String },
}

impl There {
    /// After a creation that has failed.
    fn after(error: &ApiError) -> Self {
        match &error.cause {
            cluster::Cause::Login(_)
            | cluster::Cause::Connect { .. }
            | cluster::Cause::Tls { .. } => Self::Not,
            // What stands before an API server may have given up waiting for it.
            cluster::Cause::Refused { code, .. } if *code < 500 => Self::Not,
            cluster::Cause::Refused { .. }
            | cluster::Cause::Late(_)
            | cluster::Cause::Broken(_)
            | cluster::Cause::TooLong(_)
            | cluster::Cause::Malformed(_) => Self::Perhaps,
        }
    }
}

impl Object<'_> {
    /// Creates it, and waits until its ticket is good: in which pod, NAMESPACE/NAME.
    async fn made_good(&mut self, namespace: &str, spec: Spec) -> Result<String, Failure> {
        let mut capture = Capture { spec, ..Capture::default() };
        capture.metadata.name.clone_from(&self.name);
        capture.metadata.namespace = Some(namespace.to_owned());
        let within = Within::Namespace(self.within.clone());
        // Whoever interrupts it does not wait for the answer.
        self.there = There::Perhaps;
        match self.client.create(&within, &capture).await {
            Ok(created) => self.there = There::Is { uid: created.metadata.uid },
            Err(error) => {
                self.there = There::after(&error);
                return Err(refused(self.attempted, &error));
            }
        }
        let fields = Some(format!("metadata.name={}", self.name));
        let selection = Selection { labels: None, fields };
        let mut watched = self.client.watch::<Capture>(within, selection);
        let good = async {
            loop {
                let found = match watched.next().await {
                    Event::Listed(mut all) => all.pop(),
                    Event::Applied(one) => Some(one),
                    Event::Deleted(_) => {
                        let reason = "somebody has deleted its object";
                        return Err(Failure::caused(Cause::Refused, self.attempted, reason));
                    }
                    // It is tried again.
                    Event::Trouble(_) => None,
                };
                if let Some(pod) = found.map(|one| self.pod(one.status)).transpose()?.flatten() {
                    return Ok(pod);
                }
            }
        };
        timeout(READY, good).await.unwrap_or_else(|_| {
            let reason = "no controller has said anything about it";
            Err(Failure::caused(Cause::Unreachable, self.attempted, reason).hint(
                "one hands packets over only where its schism.toml says `allowed = true` under [capture]",
            ))
        })
    }

    /// Where its ticket is good; nothing as long as nobody has said anything.
    fn pod(&self, status: Status) -> Result<Option<String>, Failure> {
        match (status.phase, status.pod) {
            (None, _) => Ok(None),
            (Some(Phase::Ready), Some(pod)) => Ok(Some(pod)),
            (Some(_), _) => {
                let reason = status.message.unwrap_or_else(|| "it is not done".to_owned());
                Err(Failure::caused(Cause::Refused, self.attempted, fault::OnOneLine(&reason)))
            }
        }
    }

    /// Deletes it, where it is there or may be, and no other one of its name.
    async fn delete(&self, output: Output) {
        let uid = match &self.there {
            There::Not => return,
            There::Perhaps => None,
            There::Is { uid } => Some(uid.clone()),
        };
        let Ok(name) = self.name.parse::<Name>() else { return };
        let within = Within::Namespace(self.within.clone());
        let that = Precondition { uid, resource_version: None };
        match self.client.delete::<Capture>(&within, &name, &that).await {
            Ok(()) => {}
            // It is gone already.
            Err(error) if matches!(error.reason(), Some(Reason::NotFound | Reason::Conflict)) => {}
            Err(error) => output.note(format!("Capture {} stays: {error}", self.name)),
        }
    }
}

/// A way to the port of a pod at which tickets are good, and the child that has it.
async fn forwarded(pod: &str, way: &Way, attempted: &str) -> Result<(Child, TcpStream), Failure> {
    let failed = |reason: String| {
        Failure::caused(Cause::Unreachable, attempted, reason).hint(
            "it takes kubectl in PATH, and the right to forward ports to the controller's pods, as Role schism-forward \
             has it",
        )
    };
    let Some((namespace, name)) = pod.split_once('/') else {
        return Err(failed(format!("{} is no pod", fault::Legible(pod))));
    };
    let mut command = Command::new("kubectl");
    command.args(["port-forward", "--address", "127.0.0.1", "--namespace", namespace]);
    command.args(way.kubeconfig.iter().flat_map(|path| ["--kubeconfig".into(), path.clone()]));
    command.args(way.context.iter().flat_map(|context| ["--context", context.as_str()]));
    command.args([format!("pod/{name}"), format!(":{PORT}")]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // Ctrl-C is for the plugin: what has come until then takes this way.
    let mut child = command
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| failed(format!("kubectl port-forward: {error}")))?;
    let (Some(stdout), Some(mut stderr)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(failed("kubectl port-forward says nothing".to_owned()));
    };
    let mut lines = BufReader::new(stdout).lines();
    let said = timeout(WAY, lines.next_line()).await;
    let port = said.ok().and_then(Result::ok).flatten().and_then(|line| port(&line));
    let Some(port) = port else {
        drop(child.start_kill());
        let mut why = String::new();
        // It ends with its child.
        let _ = timeout(WAY, stderr.read_to_string(&mut why)).await;
        let why = fault::OnOneLine(why.trim()).to_string();
        return Err(failed(format!("kubectl port-forward: {why}")));
    };
    // A pipe that nobody reads would have it end.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    tokio::spawn(async move {
        let mut rest = Vec::new();
        stderr.read_to_end(&mut rest).await
    });
    let stream = TcpStream::connect(("127.0.0.1", port)).await;
    Ok((child, stream.map_err(|error| failed(error.to_string()))?))
}

/// The port of this machine, of `Forwarding from 127.0.0.1:40123 -> 7072`.
fn port(line: &str) -> Option<u16> {
    let (from, _) = line.strip_prefix("Forwarding from 127.0.0.1:")?.split_once(" -> ")?;
    from.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_read_off_what_kubectl_says() {
        assert_eq!(port("Forwarding from 127.0.0.1:40123 -> 7072"), Some(40_123));
        for odd in ["", "Forwarding from [::1]:40123 -> 7072", "Handling connection for 40123"] {
            assert_eq!(port(odd), None, "{odd}");
        }
    }

    #[test]
    fn what_was_refused_is_not_there_and_what_nobody_answered_may_be() {
        let answer = |code| cluster::Cause::Refused {
            code,
            reason: Reason::Other(String::new()),
            message: String::new(),
            retry_after: None,
        };
        let broken = cluster::Cause::Broken(String::new());
        let connect = cluster::Cause::Connect { server: String::new(), reason: String::new() };
        let table = [
            (answer(403), There::Not),
            (answer(409), There::Not),
            (answer(429), There::Not),
            (answer(504), There::Perhaps),
            (cluster::Cause::Late(READY), There::Perhaps),
            (broken, There::Perhaps),
            (connect, There::Not),
        ];
        for (cause, there) in table {
            let error = ApiError { attempted: String::new(), cause };
            assert_eq!(There::after(&error), there, "{error}");
        }
    }

    #[test]
    fn what_is_typed_names_pods_of_the_namespace() {
        let typed = |target: &str, total| Typed {
            spec: Spec { target: target.to_owned(), port: Some(80), ..Spec::default() },
            total,
            most: 1 << 20,
            write: None,
            existing: Existing::Kept,
        };
        let short = Duration::from_secs(1);
        let asked = typed("pod/a", short).asked("prod").unwrap();
        assert_eq!(asked.target.to_string(), "k8s:prod/pod/a");
        assert_eq!((asked.capture.port, asked.capture.kept), (Some(80), Kept::Headers));
        for (target, total) in [("host:n1", short), ("pod/a", Duration::from_secs(601))] {
            let failure = typed(target, total).asked("prod").unwrap_err();
            assert_eq!(failure.outcome, Outcome::WrongUsage, "{}", failure.text());
        }
    }
}
