//! Who comes by a token, and which tokens are good.

use std::path::PathBuf;

use lab::{
    directory::Directory,
    kubernetes::{BUSYBOX, Cluster, Kubectl},
};
use link::ServerName;
use proto::agent as wire;
use serde_json::json;
use tokio::runtime::Builder;

use crate::{agents::NAMESPACE, running::until};

/// A controller's door for agents, in the hub's network.
struct Door<'a> {
    lab: &'a Cluster,
    /// Whom agents trust.
    ca: PathBuf,
    port: u16,
    /// Where that is written down.
    _directory: Directory,
}

/// A token that was good, whose pod is gone.
pub(crate) struct Ending<'a> {
    door: Door<'a>,
    node: &'a str,
    token: String,
}

impl Door<'_> {
    /// Why the agent of a node is not let in with this token; empty where it is.
    fn knock(&self, node: &str, token: &str) -> String {
        let hub = &self.lab.topology().hub_node().unwrap().namespace;
        let (ca, port) = (&self.ca, self.port);
        let answer = hub.inside(|| {
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let address = format!("127.0.0.1:{port}").parse().unwrap();
                let name = ServerName::try_from("schism-controller").unwrap();
                let connector = link::dial_without_certificate(ca).unwrap();
                let mut stream = connector.dial(&address, &name).await.unwrap();
                let hello = wire::Hello {
                    protocol: 1,
                    node: node.to_owned(),
                    token: token.trim().to_owned(),
                    ..wire::Hello::default()
                };
                link::write(&mut stream, &hello).await.unwrap();
                link::read::<wire::Welcome>(&mut stream).await.unwrap().refused
            })
        });
        answer.unwrap()
    }
}

/// A pod with the account of agents, which is none.
fn visitor(kubectl: &Kubectl, node: &str) {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": "visitor", "namespace": NAMESPACE },
        "spec": {
            "serviceAccountName": "schism-agent", "terminationGracePeriodSeconds": 0,
            "nodeSelector": { "kubernetes.io/hostname": node },
            "containers": [{
                "name": "idle", "image": BUSYBOX, "imagePullPolicy": "Never",
                "command": ["sleep", "1000"],
            }],
        },
    });
    kubectl.apply(&pod.to_string()).unwrap();
    let ready = format!("-n {NAMESPACE} wait --for=condition=Ready pod/visitor --timeout=60s");
    kubectl.run(&ready).unwrap();
}

/// Tokens that are good, and those that are not, at a controller that listens to agents in the hub's network. What was
/// good ends with its pod, some time later.
pub(crate) fn are_good_for_their_pod_alone(lab: &Cluster, port: u16) -> Ending<'_> {
    let kubectl = lab.kubectl();
    let [here, there] = [0, 1].map(|number| lab.nodes()[number].name());
    let directory = Directory::create("authority").unwrap();
    let ca = directory.path().join("ca.pem");
    let shown =
        ["-n", NAMESPACE, "get", "configmap", "schism-ca", "-o", r"jsonpath={.data.ca\.pem}"];
    std::fs::write(&ca, kubectl.run_with(&shown).unwrap()).unwrap();
    let door = Door { lab, ca, port, _directory: directory };
    visitor(kubectl, here);
    let token = |of: &str| kubectl.run(&format!("-n {NAMESPACE} create token {of}")).unwrap();
    let bound = "--bound-object-kind Pod --bound-object-name visitor";
    let good = token(&format!("schism-agent --audience schism {bound}"));
    for (node, token, said) in [
        (here, String::new(), "it shows no token"),
        (here, "nonsense".to_owned(), "is no token of a service account"),
        (here, token(&format!("schism-agent --audience vault {bound}")), "was not made for schism"),
        (here, token("default --audience schism"), "schism:default, and agents are"),
        (here, token("schism-agent --audience schism"), "its token was made for no pod"),
        (there, good.clone(), "it says that it is node 'n2', and its token is of a pod on n1"),
    ] {
        let refused = door.knock(node, &token);
        assert!(refused.contains(said), "not `{said}`, but `{refused}`");
    }
    // It is let in, and says no more.
    assert_eq!(door.knock(here, &good), "");
    kubectl.run(&format!("-n {NAMESPACE} delete pod visitor --wait=true --timeout=60s")).unwrap();
    Ending { door, node: here, token: good }
}

impl Ending<'_> {
    /// API servers remember for ten seconds that a token was good.
    pub(crate) fn has_come(self) {
        until("a token ends with its pod", || {
            let refused = self.door.knock(self.node, &self.token);
            let said = "does not take its token";
            assert!(refused.is_empty() || refused.contains(said), "{refused}");
            !refused.is_empty()
        });
    }
}
