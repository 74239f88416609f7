//! A node: containerd, kubelet and kube-proxy, on one machine.

use std::{
    net::IpAddr,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::json;

use super::{
    KubernetesError, PAUSE, addressing,
    authority::{Authority, Identity},
    machine::{Component, LENT, Loan, Machine},
};
use crate::{
    control_group::ControlGroup,
    topology::{self, Family},
};

/// How long containerd may take to listen.
const START: Duration = Duration::from_secs(60);

/// Between two attempts to reach it.
const PACE: Duration = Duration::from_millis(20);

/// Where containerd listens, on the node.
const SOCKET: &str = "run/containerd/containerd.sock";

/// A node of a cluster.
#[derive(Debug)]
pub struct Node {
    network: topology::Node,
    machine: Machine,
    containerd: Component,
    kubelet: Option<Component>,
    proxy: Option<Component>,
    // After the machine: processes are in it.
    group: ControlGroup,
}

impl Node {
    /// Starts a machine with containerd on it, without waiting.
    pub(super) fn begin(
        network: &topology::Node,
        directory: &Path,
        loans: &[Loan],
        pods: &addressing::Pods,
    ) -> Result<Self, KubernetesError> {
        let group = ControlGroup::create(network.namespace.name())?;
        for forwarding in ["net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"] {
            network.namespace.sysctl(forwarding, "1")?;
        }
        let machine = Machine::start(network, directory, loans)?;
        machine.write("lab/net.d/10-lab.conflist", &network_of_pods(pods))?;
        let settings = machine.write("lab/containerd.toml", &containerd())?;
        let containerd = machine.serve("containerd", &["--config".to_owned(), settings])?;
        let network = network.clone();
        Ok(Self { network, machine, containerd, kubelet: None, proxy: None, group })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.machine.name()
    }

    /// Its address in a family.
    #[must_use]
    pub fn address(&self, family: Family) -> IpAddr {
        self.network.address(family)
    }

    /// A command on the node: in its network, among its files and processes.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        self.machine.command(program)
    }

    /// Runs a program on the node to its end: what it printed.
    ///
    /// # Errors
    /// It ended with anything but success.
    pub fn run(&self, program: &str, arguments: &[&str]) -> Result<String, KubernetesError> {
        let output = self.command(program).args(arguments).stdin(Stdio::null()).output();
        let failed = |said: String| KubernetesError::Machine { name: self.name().to_owned(), said };
        let output = output.map_err(|error| failed(error.to_string()))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(failed(format!("{program} {}: {said}", arguments.join(" "))));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Where a file of the node can be found on this machine; its path is without its first slash.
    #[must_use]
    pub fn path(&self, inside: &str) -> PathBuf {
        self.machine.path(inside)
    }

    /// Its control group, in every hierarchy of this machine.
    #[must_use]
    pub fn control_group(&self) -> String {
        self.group.path()
    }

    /// Waits until containerd takes requests.
    pub(super) fn wait_runtime(&self) -> Result<(), KubernetesError> {
        let (began, socket) = (Instant::now(), self.machine.path(SOCKET));
        while let Err(error) = UnixStream::connect(&socket) {
            let ended = self.containerd.process.wait_end(PACE);
            if ended || began.elapsed() > START {
                let what = format!("containerd on {}", self.name());
                let said = format!("{error}; {}", self.containerd.last_words());
                return Err(KubernetesError::NotReady { what, said });
            }
        }
        Ok(())
    }

    /// Has containerd know an image that lies among what is lent.
    pub(super) fn import(&self, archive: &str) -> Result<(), KubernetesError> {
        let archive = format!("{LENT}/images/{archive}");
        self.run("ctr", &["-n", "k8s.io", "images", "import", &archive]).map(drop)
    }

    /// Starts kubelet and kube-proxy, without waiting. Pods ask for names at an address.
    pub(super) fn join(
        &mut self,
        authority: &Authority,
        server: &str,
        names: IpAddr,
    ) -> Result<(), KubernetesError> {
        let name = self.name().to_owned();
        let settings = |identity, what: &str| {
            let file = format!("{what}-{name}.conf");
            authority.admit(identity, server, &file)?;
            Ok::<_, KubernetesError>(format!("{LENT}/keys/{file}"))
        };
        let (own, proxy) =
            (settings(Identity::Node(&name), "kubelet")?, settings(Identity::Proxy, "proxy")?);
        let kubelet = self.machine.write("lab/kubelet.json", &self.kubelet(names).to_string())?;
        let addresses = Family::ALL.map(|family| self.address(family).to_string()).join(",");
        self.kubelet = Some(self.machine.serve(
            "kubelet",
            &[
                format!("--config={kubelet}"),
                format!("--kubeconfig={own}"),
                format!("--hostname-override={name}"),
                format!("--node-ip={addresses}"),
            ],
        )?);
        let proxy = self.machine.write("lab/proxy.json", &kube_proxy(&name, &proxy).to_string())?;
        self.proxy = Some(self.machine.serve("kube-proxy", &[format!("--config={proxy}")])?);
        Ok(())
    }

    /// The ends of its logs.
    pub(super) fn last_words(&self) -> String {
        let all = [Some(&self.containerd), self.kubelet.as_ref(), self.proxy.as_ref()];
        let said: Vec<String> = all.into_iter().flatten().map(Component::last_words).collect();
        format!("on {}: {}", self.name(), said.join("\n"))
    }

    fn kubelet(&self, names: IpAddr) -> serde_json::Value {
        json!({
            "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
            "authentication": {
                "anonymous": { "enabled": false }, "webhook": { "enabled": true },
                "x509": { "clientCAFile": format!("{LENT}/keys/ca.crt") },
            },
            "authorization": { "mode": "Webhook" },
            "containerRuntimeEndpoint": format!("unix:///{SOCKET}"),
            "cgroupDriver": "cgroupfs", "cgroupRoot": self.control_group(),
            // Both versions may be mounted, the first with the controllers.
            "failCgroupV1": false,
            "failSwapOn": false,
            // To be killed later than others takes CAP_SYS_RESOURCE.
            "oomScoreAdj": 0,
            "makeIPTablesUtilChains": false,
            "clusterDomain": "cluster.local", "clusterDNS": [names.to_string()], "resolvConf": "",
            "volumePluginDir": "/var/lib/kubelet/volume-plugins",
            // The disk is this machine's, and how full it is is none of the cluster's business.
            "evictionHard": {
                "memory.available": "1Mi", "nodefs.available": "0%", "nodefs.inodesFree": "0%",
                "imagefs.available": "0%", "imagefs.inodesFree": "0%",
            },
            "imageGCHighThresholdPercent": 100, "imageGCLowThresholdPercent": 99,
            "nodeLeaseDurationSeconds": 8,
            "nodeStatusUpdateFrequency": "5s",
        })
    }
}

fn kube_proxy(name: &str, settings: &str) -> serde_json::Value {
    json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration",
        "mode": "nftables", "hostnameOverride": name, "clusterCIDR": addressing::PODS,
        "clientConnection": { "kubeconfig": settings },
        "healthzBindAddress": "127.0.0.1:10256", "metricsBindAddress": "127.0.0.1:10249",
        // The tables' sizes are the first network namespace's alone to set.
        "conntrack": {
            "maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s",
        },
    })
}

/// A bridge on the node, and routes by way of it for everything else.
fn network_of_pods(pods: &addressing::Pods) -> String {
    json!({
        "cniVersion": "0.4.0", "name": "lab",
        "plugins": [{
            "type": "bridge", "bridge": "pods0", "isGateway": true, "hairpinMode": true,
            "ipam": {
                "type": "host-local", "ranges": [[{ "subnet": pods.v4 }], [{ "subnet": pods.v6 }]],
                "routes": [{ "dst": "0.0.0.0/0" }, { "dst": "::/0" }],
            },
        }],
    })
    .to_string()
}

fn containerd() -> String {
    format!(
        r#"version = 2
[plugins."io.containerd.internal.v1.opt"]
  path = "/var/lib/containerd/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "{LENT}/packages/usr/lib/cni"
  conf_dir = "{LENT}/net.d"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
  SystemdCgroup = false
"#
    )
}
