//! etcd, API server, controller-manager and scheduler, on one machine.

use std::{
    net::SocketAddr,
    path::Path,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;

use super::{
    KubernetesError, addressing,
    authority::{Authority, Identity},
    components, fake_nodes,
    kubectl::Kubectl,
    machine::{Component, LENT, Loan, Machine},
};
use crate::topology::{Family, Node};

/// Where the API server listens.
const PORT: u16 = 6443;

/// Where etcd listens, on the control plane's loopback.
const ETCD: &str = "http://127.0.0.1:2379";

/// How long the API server may take to be ready; it takes three seconds of two quiet processors.
const START: Duration = Duration::from_secs(120);

/// Between two questions whether it is.
const PACE: Duration = Duration::from_millis(100);

/// The processes that decide what runs where.
#[derive(Debug)]
pub(super) struct ControlPlane {
    machine: Machine,
    server: String,
    etcd: Component,
    api_server: Component,
    followers: Vec<Component>,
}

impl ControlPlane {
    /// Starts etcd and the API server, without waiting.
    pub(super) fn begin(
        node: &Node,
        directory: &Path,
        loans: &[Loan],
    ) -> Result<Self, KubernetesError> {
        let machine = Machine::start(node, directory, loans)?;
        let peers = "http://127.0.0.1:2380";
        let etcd = [
            "--data-dir=/var/lib/etcd".to_owned(),
            format!("--listen-client-urls={ETCD}"),
            format!("--advertise-client-urls={ETCD}"),
            format!("--listen-peer-urls={peers}"),
            format!("--initial-advertise-peer-urls={peers}"),
            format!("--initial-cluster=default={peers}"),
            // The cluster does not outlive a crash of this machine.
            "--unsafe-no-fsync".to_owned(),
        ];
        let etcd = machine.serve("etcd", &etcd)?;
        let key = |name: &str| format!("{LENT}/keys/{name}");
        let address = node.address(Family::V4);
        let api_server = [
            format!("--etcd-servers={ETCD}"),
            "--bind-address=0.0.0.0".to_owned(),
            format!("--secure-port={PORT}"),
            format!("--advertise-address={address}"),
            format!("--client-ca-file={}", key("ca.crt")),
            format!("--tls-cert-file={}", key("apiserver.crt")),
            format!("--tls-private-key-file={}", key("apiserver.key")),
            format!("--kubelet-client-certificate={}", key("kubelet-client.crt")),
            format!("--kubelet-client-key={}", key("kubelet-client.key")),
            // The host names of nodes are known to nobody.
            "--kubelet-preferred-address-types=InternalIP".to_owned(),
            "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
            format!("--service-account-signing-key-file={}", key("tokens.key")),
            format!("--service-account-key-file={}", key("tokens.pub")),
            format!("--service-cluster-ip-range={}", addressing::SERVICES),
            "--authorization-mode=Node,RBAC".to_owned(),
            "--enable-admission-plugins=NodeRestriction".to_owned(),
            "--allow-privileged=true".to_owned(),
        ];
        let api_server = machine.serve("kube-apiserver", &api_server)?;
        let server = format!("https://{}", SocketAddr::new(address, PORT));
        Ok(Self { machine, server, etcd, api_server, followers: Vec::new() })
    }

    /// What clients dial.
    pub(super) fn server(&self) -> &str {
        &self.server
    }

    /// Waits until the API server is ready, and starts those that follow it.
    pub(super) fn complete(
        &mut self,
        authority: &Authority,
        kubectl: &Kubectl,
    ) -> Result<(), KubernetesError> {
        let began = Instant::now();
        while let Err(error) = kubectl.run("get --raw /readyz --request-timeout=2s") {
            let ended = self.api_server.process.wait_end(PACE);
            if ended || began.elapsed() > START {
                let said = format!("{error}; {}", self.last_words());
                return Err(KubernetesError::NotReady { what: "the API server".to_owned(), said });
            }
        }
        let settings = |identity, name: &str| {
            authority.admit(identity, &self.server, &format!("{name}.conf"))?;
            Ok::<_, KubernetesError>(format!("{LENT}/keys/{name}.conf"))
        };
        let manager = settings(Identity::ControllerManager, "controller-manager")?;
        let scheduler = settings(Identity::Scheduler, "scheduler")?;
        let key = |name: &str| format!("{LENT}/keys/{name}");
        let common = |settings: &str| {
            vec![
                format!("--kubeconfig={settings}"),
                format!("--authentication-kubeconfig={settings}"),
                format!("--authorization-kubeconfig={settings}"),
                "--bind-address=127.0.0.1".to_owned(),
                // There is one of each.
                "--leader-elect=false".to_owned(),
                "--kube-api-qps=500".to_owned(),
                "--kube-api-burst=1000".to_owned(),
            ]
        };
        let mut arguments = common(&manager);
        arguments.extend([
            "--use-service-account-credentials=true".to_owned(),
            format!("--service-account-private-key-file={}", key("tokens.key")),
            format!("--root-ca-file={}", key("ca.crt")),
            format!("--cluster-signing-cert-file={}", key("ca.crt")),
            format!("--cluster-signing-key-file={}", key("ca.key")),
            format!("--service-cluster-ip-range={}", addressing::SERVICES),
            // Whoever waits for a node's death waits ten seconds, not forty.
            "--node-monitor-grace-period=10s".to_owned(),
            "--node-monitor-period=1s".to_owned(),
        ]);
        self.followers.push(self.machine.serve("kube-controller-manager", &arguments)?);
        self.followers.push(self.machine.serve("kube-scheduler", &common(&scheduler))?);
        Ok(())
    }

    /// Has the nodes that are marked so be played.
    pub(super) fn play_nodes(&mut self, authority: &Authority) -> Result<(), KubernetesError> {
        let program = components::kwok()?.display().to_string();
        authority.admit(Identity::Administrator, &self.server, "kwok.conf")?;
        let arguments = [
            format!("--kubeconfig={LENT}/keys/kwok.conf"),
            format!("--manage-nodes-with-annotation-selector={}=fake", fake_nodes::MARK),
            format!("--cidr={}", fake_nodes::PODS),
            // Longer than the grace period of nodes here, so that they renew in time: it is a fourth of that.
            "--node-lease-duration-seconds=10".to_owned(),
        ];
        self.followers.push(self.machine.serve_program("kwok", &program, &arguments)?);
        Ok(())
    }

    /// Has the API server stand still, or go on: whoever asks it has no answer meanwhile.
    pub(super) fn signal_api_server(&self, signal: Signal) -> Result<(), KubernetesError> {
        Ok(self.api_server.process.signal_all(signal)?)
    }

    /// The ends of its logs.
    pub(super) fn last_words(&self) -> String {
        let all = [&self.etcd, &self.api_server].into_iter().chain(&self.followers);
        all.map(Component::last_words).collect::<Vec<_>>().join("\n")
    }
}
