//! The uplink over mutual TLS on loopback: the certificate decides who a node is.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use agent::uplink::{self, Controller, ControllerError, Stop, Uplink};
use fault::{ControllerId, Holder, NodeName};
use hyper_util::rt::TokioIo;
use link::{Acceptor, Door, Entry, Files, Fingerprint, Issued, Material, Principal};
use proto::agent as wire;
use proto::agent::agent_client::AgentClient;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    SanType,
};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tonic::transport::Endpoint;

use crate::rig::{Rig, about, soon};

struct Authority {
    directory: TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        fs::write(directory.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { directory, issuer }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn issue(&self, name: &str, uri: &str, usage: ExtendedKeyUsagePurpose) -> Files {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.subject_alt_names.push(SanType::URI(uri.try_into().unwrap()));
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let files = Files::named(self.path(), name);
        fs::write(&files.certificate, certificate.pem()).unwrap();
        fs::write(&files.key, key.serialize_pem()).unwrap();
        let entry = Entry {
            fingerprint: Fingerprint::of(certificate.der()),
            principal: uri.parse().unwrap(),
            expires: std::time::SystemTime::UNIX_EPOCH,
        };
        let listed = fs::read_to_string(self.path().join("issued")).unwrap_or_default();
        fs::write(self.path().join("issued"), format!("{listed}{entry}\n")).unwrap();
        files
    }

    fn agent(&self, node: &str) -> Files {
        let uri = format!("schism://agent/{node}");
        self.issue(node, &uri, ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn acceptor(&self) -> Acceptor {
        let usage = ExtendedKeyUsagePurpose::ServerAuth;
        let files = self.issue("controller", "schism://controller/c1", usage);
        let issued = Arc::new(Issued::load(self.path().join("issued")));
        Material::load(&files).unwrap().acceptor(Door::Agents, issued).unwrap()
    }
}

fn named(name: &str) -> NodeName {
    NodeName::new(name).unwrap()
}

#[tokio::test]
async fn the_agent_is_served_over_mutual_tls_under_the_name_of_its_certificate() {
    let rig = Rig::frozen().await;
    let authority = Authority::new();
    let files = authority.agent("fake");
    let acceptor = authority.acceptor();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string().parse().unwrap();
    // It is dialled by address, and shows a certificate for a name.
    let host = Some("localhost".try_into().unwrap());
    let controller = Controller::new(address, host, &files, &named("fake")).unwrap();
    let uplink = Uplink::new(rig.agent.clone(), about());
    let (_stop, asked) = Stop::new();
    tokio::spawn(uplink::keep(uplink, controller, asked));
    let (stream, _) = soon(listener.accept()).await.unwrap();
    let accepted = soon(acceptor.accept(stream)).await.unwrap();
    assert_eq!(accepted.principal, Principal::Agent(named("fake")));
    let mut stream = accepted.stream;
    let hello: wire::Hello = link::read(&mut stream).await.unwrap();
    assert_eq!(hello.node, "fake");
    let holder = Holder { controller: ControllerId::new([1; 16]), epoch: 1 };
    let welcome = wire::Welcome { holder: Some(holder.into()), refused: String::new() };
    link::write(&mut stream, &welcome).await.unwrap();
    let mut stream = Some(stream);
    let connector = tower::service_fn(move |_| {
        let stream = stream.take().ok_or_else(|| std::io::Error::other("one connection only"));
        async move { stream.map(TokioIo::new) }
    });
    let endpoint = Endpoint::from_static("http://agent");
    let channel = soon(endpoint.connect_with_connector(connector)).await.unwrap();
    let mut client = AgentClient::new(channel);
    let described = client.describe(wire::DescribeRequest {}).await.unwrap().into_inner();
    assert_eq!(described.instance, hello.instance);
}

/// The certificate that the agent shows next. It is not answered, and dials again.
async fn shown(listener: &TcpListener, acceptor: &Acceptor) -> Fingerprint {
    let (stream, _) = soon(listener.accept()).await.unwrap();
    soon(acceptor.accept(stream)).await.unwrap().fingerprint
}

#[tokio::test]
async fn a_certificate_that_was_replaced_is_shown_from_the_next_connection_on() {
    let rig = Rig::frozen().await;
    let authority = Authority::new();
    let files = authority.agent("fake");
    let fingerprint = || Material::load(&files).unwrap().fingerprint();
    let acceptor = authority.acceptor();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string().parse().unwrap();
    let host = Some("localhost".try_into().unwrap());
    let controller = Controller::new(address, host, &files, &named("fake")).unwrap();
    let (_stop, asked) = Stop::new();
    let uplink = Uplink::new(rig.agent.clone(), about());
    tokio::spawn(uplink::keep(uplink, controller, asked));
    let first = fingerprint();
    assert_eq!(shown(&listener, &acceptor).await, first);
    // Only one of the two files is there by now: it does not fit the other one. An attempt may be under way.
    let key = fs::read(&files.key).unwrap();
    authority.agent("fake");
    let (second, fitting) = (fingerprint(), fs::read(&files.key).unwrap());
    fs::write(&files.key, &key).unwrap();
    for _ in 0..2 {
        assert_eq!(shown(&listener, &acceptor).await, first);
    }
    fs::write(&files.key, &fitting).unwrap();
    soon(async { while shown(&listener, &acceptor).await != second {} }).await;
    assert_eq!(shown(&listener, &acceptor).await, second);
}

#[test]
fn a_certificate_of_somebody_else_is_refused_before_anything_is_dialled() {
    let authority = Authority::new();
    let usage = ExtendedKeyUsagePurpose::ClientAuth;
    let user = authority.issue("anna", "schism://user/anna/admin", usage);
    for files in [authority.agent("db1"), user] {
        let address = "127.0.0.1:1".parse().unwrap();
        let error = Controller::new(address, None, &files, &named("db0")).unwrap_err();
        assert!(matches!(error, ControllerError::Other { .. }), "{error}");
        let sentence = error.to_string();
        assert!(sentence.contains("db0") && sentence.contains("--node"), "{sentence}");
    }
    let missing = Files::named(authority.path(), "nobody");
    let address = "127.0.0.1:1".parse().unwrap();
    let error = Controller::new(address, None, &missing, &named("db0")).unwrap_err();
    assert!(matches!(error, ControllerError::Material(_)), "{error}");
}
