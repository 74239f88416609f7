//! Pods that say who they are over HTTP.

use std::{net::IpAddr, thread};

use lab::{
    kubernetes::{BUSYBOX, Kubectl},
    topology::Family,
};
use serde_json::{Value, json};

use crate::running::{Ended, Running};

pub(crate) const PORT: u16 = 8080;

/// A pod on a node that answers with its name, and a service for it.
pub(crate) fn pod(name: &str, node: &str) -> String {
    let serve = format!(
        "echo {name} >/srv/index.html; echo {name} is ready; exec httpd -f -p {PORT} -h /srv"
    );
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": name, "labels": { "web": name } },
        "spec": {
            "nodeSelector": { "kubernetes.io/hostname": node },
            "terminationGracePeriodSeconds": 0,
            "containers": [{
                "name": "web", "image": BUSYBOX, "imagePullPolicy": "Never",
                "command": ["sh", "-c", serve],
                "readinessProbe": { "tcpSocket": { "port": PORT }, "periodSeconds": 1 },
            }],
        },
    });
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": name },
        "spec": { "selector": { "web": name }, "ports": [{ "port": PORT }] },
    });
    json!({ "apiVersion": "v1", "kind": "List", "items": [pod, service] }).to_string()
}

/// The addresses of a pod, one of each family.
pub(crate) fn addresses(kubectl: &Kubectl, name: &str) -> [IpAddr; 2] {
    let pod = get(kubectl, "pod", name);
    let addresses = pod["status"]["podIPs"].as_array().unwrap().iter();
    let addresses: Vec<IpAddr> =
        addresses.map(|one| one["ip"].as_str().unwrap().parse().unwrap()).collect();
    Family::ALL.map(|family| {
        let is_of = |address: &&IpAddr| address.is_ipv4() == (family == Family::V4);
        *addresses.iter().find(is_of).unwrap()
    })
}

/// The virtual address of a service.
pub(crate) fn service(kubectl: &Kubectl, name: &str) -> IpAddr {
    get(kubectl, "service", name)["spec"]["clusterIP"].as_str().unwrap().parse().unwrap()
}

pub(crate) fn url(address: IpAddr) -> String {
    format!("http://{}/", std::net::SocketAddr::new(address, PORT))
}

/// What a pod gets from a URL.
pub(crate) fn ask(kubectl: &Kubectl, from: &str, url: &str) -> String {
    kubectl.run_with(&["exec", from, "--", "wget", "-q", "-O", "-", url]).unwrap()
}

/// The UID of a pod.
pub(crate) fn uid(kubectl: &Kubectl, name: &str) -> String {
    get(kubectl, "pod", name)["metadata"]["uid"].as_str().unwrap().to_owned()
}

/// An object as the API server has it.
pub(crate) fn get(kubectl: &Kubectl, kind: &str, name: &str) -> Value {
    serde_json::from_str(&kubectl.run(&format!("get {kind} {name} -o json")).unwrap()).unwrap()
}

/// The same in a namespace.
pub(crate) fn get_in(kubectl: &Kubectl, namespace: &str, kind: &str, name: &str) -> Value {
    let line = format!("-n {namespace} get {kind} {name} -o json");
    serde_json::from_str(&kubectl.run(&line).unwrap()).unwrap()
}

/// The id of the container of a pod.
pub(crate) fn container(kubectl: &Kubectl, name: &str) -> String {
    let pod = get(kubectl, "pod", name);
    let id = pod["status"]["containerStatuses"][0]["containerID"].as_str().unwrap().to_owned();
    id.rsplit('/').next().unwrap().to_owned()
}

/// Asks all of these URLs at the same time, and names those that answer within two seconds.
const ASK_ALL: &str =
    r#"for url; do (timeout 2 wget -q -O /dev/null "$url" && echo "$url") & done; wait"#;

/// Which of some URLs answer a pod.
fn answering(kubectl: &Kubectl, from: &str, urls: &[String]) -> Vec<bool> {
    let mut line = vec!["exec", from, "--", "sh", "-c", ASK_ALL, "sh"];
    line.extend(urls.iter().map(String::as_str));
    let said = kubectl.run_with(&line).unwrap();
    urls.iter().map(|url| said.lines().any(|line| line == url)).collect()
}

/// Whether a pod gets an answer within two seconds.
pub(crate) fn reaches(kubectl: &Kubectl, from: &str, url: &str) -> bool {
    answering(kubectl, from, &[url.to_owned()])[0]
}

/// Whether a pod gets an answer from these addresses, asked at the same time.
pub(crate) fn reaches_both(kubectl: &Kubectl, from: &str, to: [IpAddr; 2]) -> [bool; 2] {
    let answer = answering(kubectl, from, &to.map(url));
    [answer[0], answer[1]]
}

/// Whether pods reach others, in both families each. All are asked at the same time: who is cut off waits.
pub(crate) fn reach<const N: usize>(kubectl: &Kubectl, pairs: [(&str, &str); N]) -> [[bool; 2]; N] {
    thread::scope(|scope| {
        let asked = pairs.map(|(from, to)| {
            scope.spawn(move || reaches_both(kubectl, from, addresses(kubectl, to)))
        });
        asked.map(|answer| answer.join().unwrap())
    })
}

/// Asks for a page again and again until it is told to stop, says each time that it got one, and in the end how often it
/// asked.
const ASK_ON: &str = r#"
asked=0
while [ ! -e /tmp/stop ]; do
  asked=$((asked + 1))
  timeout 1 wget -q -O /dev/null "$0" && echo through && sleep 0.2
done
echo "asked $asked times"
"#;

/// Has a pod ask for a page from now on.
pub(crate) fn ask_on(kubectl: &Kubectl, from: &str, of: IpAddr) -> Running {
    let mut command = kubectl.command("kubectl");
    command.args(["exec", from, "--", "sh", "-c", ASK_ON, &url(of)]);
    Running::start(command)
}

/// Has it stop: what it says of that.
pub(crate) fn told(kubectl: &Kubectl, from: &str, asking: Running) -> Ended {
    kubectl.run(&format!("exec {from} -- touch /tmp/stop")).unwrap();
    asking.ended()
}
