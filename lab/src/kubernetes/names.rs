//! Names of services: what DNS is in other clusters, as far as pods need it to find each other.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr, UdpSocket},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{Kubectl, KubernetesError};

/// The port of DNS.
const PORT: u16 = 53;

/// What names of services end with, before the labels of their name and namespace.
const DOMAIN: [&str; 3] = ["svc", "cluster", "local"];

/// How long an answer is true, here and for whoever got it.
const TRUE_FOR: Duration = Duration::from_secs(1);

/// The longest message without extensions (RFC 1035 2.3.4).
const LONGEST: usize = 512;

/// As many addresses fit into it, whatever their name and family.
const MOST: usize = 8;

/// Answers until it is dropped.
#[derive(Debug)]
pub(super) struct Names {
    socket: UdpSocket,
    address: SocketAddr,
    answering: Option<JoinHandle<()>>,
}

/// A question (RFC 1035 4.1.2).
#[derive(Debug, PartialEq, Eq)]
struct Question {
    labels: Vec<String>,
    kind: u16,
    /// Where it ends.
    end: usize,
}

/// What was said of services by name and namespace, and when.
type Known = HashMap<(String, String), (Instant, Option<Vec<IpAddr>>)>;

/// Kinds of records (RFC 1035 3.2.2, RFC 3596 2.1).
const V4: u16 = 1;
const V6: u16 = 28;

impl Names {
    /// Listens at an address of the control plane, where `kubectl` asks from.
    pub(super) fn serve(kubectl: &Kubectl, at: IpAddr) -> Result<Self, KubernetesError> {
        let bound = kubectl.namespace().inside(|| UdpSocket::bind((at, PORT)))?;
        let failed = |source: io::Error| KubernetesError::Names { source };
        let socket = bound.map_err(failed)?;
        let address = socket.local_addr().map_err(failed)?;
        let (own, kubectl) = (socket.try_clone().map_err(failed)?, kubectl.clone());
        let answering = thread::spawn(move || answer_all(&own, &kubectl));
        Ok(Self { socket, address, answering: Some(answering) })
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        // An empty message is its end.
        if self.socket.send_to(&[], self.address).is_ok()
            && let Some(answering) = self.answering.take()
        {
            // It has nothing to say any more.
            let _ = answering.join();
        }
    }
}

fn answer_all(socket: &UdpSocket, kubectl: &Kubectl) {
    let mut known = Known::new();
    let mut message = [0; LONGEST];
    while let Ok((length, from)) = socket.recv_from(&mut message) {
        if length == 0 {
            return;
        }
        let Some(question) = Question::read(&message[..length]) else { continue };
        let found = question.service().and_then(|(name, namespace)| {
            let key = (name.to_owned(), namespace.to_owned());
            if let Some((asked, found)) = known.get(&key)
                && asked.elapsed() < TRUE_FOR
            {
                return found.clone();
            }
            let found = addresses(kubectl, name, namespace);
            known.insert(key, (Instant::now(), found.clone()));
            found
        });
        // Whoever does not hear it asks again.
        let _ = socket.send_to(&question.answer(&message[..length], found.as_deref()), from);
    }
}

/// The own addresses of a service, or those of its pods where it has none; `None` for no such service.
fn addresses(kubectl: &Kubectl, name: &str, namespace: &str) -> Option<Vec<IpAddr>> {
    let get = |what: &str| -> Option<Value> {
        let said = kubectl.run(&format!("-n {namespace} get {what} -o json")).ok()?;
        serde_json::from_str(&said).ok()
    };
    let texts = |list: &Value| -> Vec<IpAddr> {
        let list = list.as_array().into_iter().flatten();
        list.filter_map(|one| one.as_str()?.parse().ok()).collect()
    };
    let own = texts(&get(&format!("service {name}"))?["spec"]["clusterIPs"]);
    if !own.is_empty() {
        return Some(own);
    }
    let slices = get(&format!("endpointslices -l kubernetes.io/service-name={name}"))?;
    let slices = slices["items"].as_array()?;
    let endpoints = slices.iter().filter_map(|slice| slice["endpoints"].as_array()).flatten();
    let ready = endpoints.filter(|endpoint| endpoint["conditions"]["ready"] != false);
    Some(ready.flat_map(|endpoint| texts(&endpoint["addresses"])).collect())
}

impl Question {
    /// The first question of a message; others have none.
    fn read(message: &[u8]) -> Option<Self> {
        let (mut at, mut labels) = (12, Vec::new());
        loop {
            let length = usize::from(*message.get(at)?);
            at += 1;
            // No pointers: there is nothing before it to point to.
            match length {
                0 => break,
                64.. => return None,
                _ => {
                    let label = std::str::from_utf8(message.get(at..at + length)?).ok()?;
                    labels.push(label.to_ascii_lowercase());
                    at += length;
                }
            }
        }
        let kind = u16::from_be_bytes([*message.get(at)?, *message.get(at + 1)?]);
        message.get(at + 3)?;
        Some(Self { labels, kind, end: at + 4 })
    }

    /// The name and the namespace of the service that it is about.
    fn service(&self) -> Option<(&str, &str)> {
        let labels: Vec<&str> = self.labels.iter().map(String::as_str).collect();
        match labels.as_slice() {
            [name, namespace, domain @ ..] if *domain == DOMAIN => Some((*name, *namespace)),
            _ => None,
        }
    }

    /// The answer to the message in which it is.
    fn answer(&self, message: &[u8], found: Option<&[IpAddr]>) -> Vec<u8> {
        let of_kind = |address: &&IpAddr| match address {
            IpAddr::V4(_) => self.kind == V4,
            IpAddr::V6(_) => self.kind == V6,
        };
        let addresses: Vec<&IpAddr> =
            found.unwrap_or_default().iter().filter(of_kind).take(MOST).collect();
        let mut answer = message.get(..2).unwrap_or(&[0; 2]).to_vec();
        // An authoritative answer; NXDOMAIN (3) for what there is not.
        answer.extend([0x85, if found.is_some() { 0x80 } else { 0x83 }]);
        let count = u8::try_from(addresses.len()).unwrap_or(0);
        answer.extend([0, 1, 0, count, 0, 0, 0, 0]);
        answer.extend(message.get(12..self.end).unwrap_or_default());
        for address in addresses {
            // The name stands at 12.
            answer.extend([0xc0, 12]);
            answer.extend(self.kind.to_be_bytes());
            answer.extend([0, 1]);
            answer.extend(u32::try_from(TRUE_FOR.as_secs()).unwrap_or(0).to_be_bytes());
            let octets = match address {
                IpAddr::V4(address) => address.octets().to_vec(),
                IpAddr::V6(address) => address.octets().to_vec(),
            };
            answer.extend([0, u8::try_from(octets.len()).unwrap_or(0)]);
            answer.extend(octets);
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(name: &str, kind: u16) -> Vec<u8> {
        let mut message = vec![0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split('.') {
            message.push(u8::try_from(label.len()).unwrap());
            message.extend(label.bytes());
        }
        message.push(0);
        message.extend(kind.to_be_bytes());
        message.extend([0, 1]);
        message
    }

    #[test]
    fn names_of_services_are_known_and_nothing_else_is() {
        let asked = |name: &str| {
            let question = Question::read(&message(name, V4)).unwrap();
            question.service().map(|(name, namespace)| format!("{namespace}/{name}"))
        };
        assert_eq!(asked("web.default.svc.cluster.local").as_deref(), Some("default/web"));
        assert_eq!(asked("Web.Default.svc.cluster.local").as_deref(), Some("default/web"));
        for other in
            ["web.default.svc", "a.web.default.svc.cluster.local", "example.org", "cluster.local"]
        {
            assert_eq!(asked(other), None, "{other}");
        }
    }

    #[test]
    fn an_answer_has_the_addresses_of_its_kind() {
        let found: [IpAddr; 2] = [[10, 0, 0, 1].into(), "fd00::1".parse().unwrap()];
        let asked = message("a.b.svc.cluster.local", V4);
        let question = Question::read(&asked).unwrap();
        let answer = question.answer(&asked, Some(&found));
        assert_eq!(answer[..12], [0xab, 0xcd, 0x85, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
        assert_eq!(answer[12..asked.len()], asked[12..]);
        assert_eq!(answer[asked.len()..], [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 10, 0, 0, 1]);
        let nothing = question.answer(&asked, None);
        assert_eq!((nothing[3], nothing[7], nothing.len()), (0x83, 0, asked.len()));
    }

    #[test]
    fn what_is_no_question_is_none() {
        let whole = message("a.b", V6);
        for length in 0..whole.len() {
            assert_eq!(Question::read(&whole[..length]), None, "{length}");
        }
        let mut pointer = whole.clone();
        pointer[12] = 0xc0;
        assert_eq!(Question::read(&pointer), None);
    }
}
