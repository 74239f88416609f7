//! Packets of pods by objects: nobody has them where nothing allows it, and whoever may has them once.

use std::{fs, path::Path};

use lab::{directory::Directory, kubernetes::Kubectl};
use proto::{
    agent::capture_piece::Kind as Piece,
    control::{self as wire, capture_piece::Kind, control_client::ControlClient},
};
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};
use tokio::runtime::Builder;
use tonic::transport::Endpoint;

use crate::{
    agents::NAMESPACE,
    running::{Ended, Running, until},
    site::{Site, Space},
    web,
};

/// The port of a controller's pod at which tickets are good.
const TICKETS: u16 = 7072;

/// Of a ticket that the test makes itself.
const SECRET: [u8; 16] = *b"sixteen bytes...";

fn refused(ended: &Ended, code: i32, said: &str) {
    assert!(ended.code == Some(code) && ended.said.contains(said), "not `{said}`: {ended:?}");
}

/// Nothing of captures is there.
fn nothing_stays(space: &Space) {
    assert_eq!(space.kubectl.run("get captures -o name").unwrap(), "");
}

pub(crate) fn where_nothing_allows_them_nobody_has_packets(site: &Site) {
    let space = site.space("private");
    let capture = || site.plugin(&space.kubectl, "capture pod/left --for 2s -n private").ended();
    refused(&capture(), 4, "namespace private does not let faults in");
    space.lets_faults_in();
    let off = capture();
    refused(&off, 4, "this controller hands over no packets: what is in them is private");
    refused(&off, 4, "`allowed = true` under [capture]");
    nothing_stays(&space);
}

/// What all of this needs.
struct Estate<'a> {
    site: &'a Site,
    space: &'a Space,
    jane: Kubectl,
    files: &'a Path,
}

impl Estate<'_> {
    /// What jane types, in the namespace of the pods.
    fn types(&self, line: &str) -> Running {
        self.site.plugin(&self.jane, &format!("{line} -n {}", self.space.name))
    }

    /// Binds a role to her.
    fn lets(&self, binding: &str, role: &str) {
        let line = format!("create rolebinding {binding} {role} --user=jane");
        self.space.kubectl.run(&line).unwrap();
    }

    /// How many sockets take packets in the network of a pod.
    fn taps(&self, pod: &str) -> usize {
        let table = self.space.kubectl.run(&format!("exec {pod} -- cat /proc/net/packet")).unwrap();
        // Behind its head.
        table.lines().count() - 1
    }
}

pub(crate) fn packets_of_a_pod_are_had_by_whoever_may_and_once(site: &Site) {
    let (space, [here, there]) = (site.space("packets"), site.nodes());
    site.allow_captures();
    space.serve([("left", here), ("right", there)]);
    space.lets_faults_in();
    let files = Directory::create("packets").unwrap();
    let jane = site.cluster().kubectl_as("jane", "people").unwrap().within(&space.name).unwrap();
    let estate = Estate { site, space: &space, jane, files: files.path() };
    let asking = space.ask_on("left", "right");
    who_may_not_has_none(&estate);
    a_file_has_what_two_pods_say_to_each_other(&estate);
    who_interrupts_it_leaves_nothing(&estate);
    a_ticket_is_good_once(&estate);
    let asked = space.told("left", asking);
    assert!(asked.said.contains("through"), "they have not talked at all: {asked:?}");
    who_had_how_many_is_written_down(site);
    site.kubectl().run(&format!("-n {NAMESPACE} delete rolebinding look")).unwrap();
}

fn object(name: &str, asker: &str) -> String {
    let ticket = digest(&SHA256, &SECRET);
    let ticket: String = ticket.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    json!({
        "apiVersion": "schism.dev/v1alpha1", "kind": "Capture", "metadata": { "name": name },
        "spec": { "target": "pod/right", "for": "1s", "ticket": ticket, "requestedBy": asker },
    })
    .to_string()
}

/// One who may make the objects, and has no right to any packet, until she is given it.
fn who_may_not_has_none(estate: &Estate<'_>) {
    let makers =
        "create role makers --verb=get,list,watch,create,delete --resource=captures.schism.dev";
    estate.space.kubectl.run(makers).unwrap();
    estate.lets("makers", "--role=makers");
    // To inject faults is something else.
    estate.lets("inject", "--clusterrole=schism-inject");
    let said = "jane may not capture packets of pods of namespace packets";
    let line = "capture pod/left --for 2s";
    refused(&estate.types(line).ended(), 4, said);
    let by_kubectl = estate.jane.apply(&object("hers", "jane")).unwrap_err().to_string();
    assert!(by_kubectl.contains(said), "{by_kubectl}");

    estate.lets("look", "--clusterrole=schism-capture");
    let other = estate.jane.apply(&object("hers", "ann")).unwrap_err().to_string();
    assert!(other.contains("requestedBy names ann, and it is jane who asks"), "{other}");
    // Packets come by way of the controller's pod.
    refused(&estate.types(line).ended(), 5, "as Role schism-forward has it");
    nothing_stays(estate.space);
    let look = "create rolebinding look --role=schism-forward --user=jane";
    estate.site.kubectl().run(&format!("-n {NAMESPACE} {look}")).unwrap();
}

/// The kind of a packet's block.
const PACKET: u32 = 6;
/// Where in it the header of the link begins, of LINUX_SLL2, and how long that is.
const LINK: usize = 28;
const NETWORK: usize = LINK + 20;

/// The packets of a file, each from its network header on.
fn packets(file: &[u8]) -> Vec<&[u8]> {
    let (mut rest, mut packets) = (file, Vec::new());
    while !rest.is_empty() {
        let word = |at: usize| u32::from_le_bytes(rest[at..at + 4].try_into().unwrap());
        let (kind, length) = (word(0), usize::try_from(word(4)).unwrap());
        assert_eq!(word(length - 4), word(4), "a block says twice how long it is");
        if kind == PACKET {
            let kept = usize::try_from(word(20)).unwrap();
            packets.push(&rest[NETWORK..LINK + kept]);
        }
        rest = &rest[length..];
    }
    packets
}

/// Whether a packet is TCP over IPv4 between these, to the port of the web server or from it.
fn is_of(packet: &[u8], from: [u8; 4], to: [u8; 4], port_at: usize) -> bool {
    packet[0] == 0x45
        && packet[9] == 6
        && packet[12..16] == from
        && packet[16..20] == to
        && packet[port_at..port_at + 2] == web::PORT.to_be_bytes()
}

fn a_file_has_what_two_pods_say_to_each_other(estate: &Estate<'_>) {
    let file = estate.files.join("left.pcapng");
    let line = format!("capture pod/left --for 2s --write {} -o json", file.display());
    let ended = estate.types(&line).ended();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let report = ended.document();
    assert_eq!((&report["why"], &report["schema"]), (&json!("time"), &json!("schism.capture/v1")));
    let file = fs::read(file).unwrap();
    let packets = packets(&file);
    assert_eq!(report["packets"], packets.len(), "{report:#}");
    let [left, right] = ["left", "right"].map(|pod| match estate.space.addresses(pod)[0] {
        std::net::IpAddr::V4(address) => address.octets(),
        std::net::IpAddr::V6(_) => panic!("the first one is of the other family"),
    });
    let asked = packets.iter().filter(|packet| is_of(packet, left, right, 22)).count();
    let answered = packets.iter().filter(|packet| is_of(packet, right, left, 20)).count();
    assert!(asked > 3 && answered > 3, "{asked} and {answered} of {}", packets.len());
    // Headers alone.
    assert!(!file.windows(5).any(|part| part == b"HTTP/"), "what they say is private");
    nothing_stays(estate.space);
    until("nobody takes packets", || estate.taps("left") == 0);
}

fn who_interrupts_it_leaves_nothing(estate: &Estate<'_>) {
    let mut running = estate.types("capture pod/left --for 60s");
    running.says("capturing ");
    until("packets are taken", || estate.taps("left") > 0);
    running.interrupt();
    let ended = running.ended();
    assert_eq!(ended.code, Some(130), "{ended:?}");
    nothing_stays(estate.space);
    until("nobody takes packets", || estate.taps("left") == 0);
}

/// How many packets a secret is good for at a port of the control plane; or why it is not.
fn redeem(site: &Site, port: u16, secret: [u8; 16]) -> Result<usize, String> {
    let hub = &site.cluster().topology().hub_node().unwrap().namespace;
    let redeemed = hub.inside(|| {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let endpoint = Endpoint::try_from(format!("http://127.0.0.1:{port}")).unwrap();
            let mut client = ControlClient::new(endpoint.connect().await.unwrap());
            let request = wire::RedeemRequest { secret: secret.to_vec().into() };
            let redeemed = client.redeem(request).await;
            let mut pieces = redeemed.map_err(|status| status.message().to_owned())?.into_inner();
            let mut packets = 0;
            while let Some(piece) = pieces.message().await.unwrap() {
                let Some(Kind::Piece(piece)) = piece.kind else { continue };
                if let Some(Piece::Packets(some)) = piece.kind {
                    packets += some.packets.len();
                }
            }
            Ok(packets)
        })
    });
    redeemed.unwrap()
}

fn a_ticket_is_good_once(estate: &Estate<'_>) {
    let kubectl = &estate.space.kubectl;
    estate.jane.apply(&object("once", "jane")).unwrap();
    let ready = "wait --for=jsonpath={.status.phase}=Ready capture/once --timeout=30s";
    kubectl
        .run(ready)
        .unwrap_or_else(|error| panic!("{error}: {:#}", web::get(kubectl, "capture", "once")));
    let status = web::get(kubectl, "capture", "once")["status"].clone();
    let pod = status["pod"].as_str().unwrap().strip_prefix("schism/").unwrap();
    let mut command = estate.jane.command("kubectl");
    command.args(["port-forward", "-n", NAMESPACE, "--address", "127.0.0.1"]);
    command.args([format!("pod/{pod}"), format!(":{TICKETS}")]);
    let mut forwarding = Running::start(command);
    let said = forwarding.says("Forwarding from 127.0.0.1:");
    let port = said.split([':', ' ']).nth(3).unwrap().parse().unwrap();

    let none = "there is no such ticket: each is good once, and for a minute";
    let wrong = redeem(estate.site, port, [7; 16]).unwrap_err();
    assert!(wrong.contains(none), "{wrong}");
    let had = redeem(estate.site, port, SECRET).unwrap();
    assert!(had > 3, "{had} packets of {pod}");
    let again = redeem(estate.site, port, SECRET).unwrap_err();
    assert!(again.contains(none), "{again}");
    let status = || web::get(kubectl, "capture", "once")["status"].clone();
    until("what came of it is told", || status()["phase"] == "Over");
    assert_eq!(status()["packets"], had, "{:#}", status());
    estate.jane.run("delete capture once --timeout=30s").unwrap();
    nothing_stays(estate.space);
    until("nobody takes packets", || estate.taps("right") == 0);
}

/// By name, and with what was handed over.
fn who_had_how_many_is_written_down(site: &Site) {
    let line = format!("-n {NAMESPACE} logs {}", site.leader());
    // To a file, interrupted, and by a ticket of her own.
    until("three are written down", || {
        let log = site.kubectl().run(&line).unwrap();
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let hers = lines.filter(|line| {
            let who = line["who"].as_str().unwrap_or_default();
            line["deed"] == "captured" && who.starts_with("jane, by Capture packets/")
        });
        hers.count() == 3
    });
}
