use std::{fs, time::Duration};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{ServerConfig, server::WebPkiClientVerifier};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::provider::etcd::{Endpoint, Silence, http::ask};

/// An authority, and files of what it signed.
struct Authority {
    directory: tempfile::TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = params.self_signed(&key).unwrap();
        fs::write(directory.path().join("root"), root.pem()).unwrap();
        Self { directory, issuer: Issuer::new(params, key) }
    }

    fn issue(&self, name: &str) -> OwnCertificate {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let file = |suffix: &str| self.directory.path().join(format!("{name}.{suffix}"));
        let own = OwnCertificate { certificate: file("pem"), key: file("key") };
        fs::write(&own.certificate, certificate.pem()).unwrap();
        fs::write(&own.key, key.serialize_pem()).unwrap();
        own
    }

    fn root(&self) -> PathBuf {
        self.directory.path().join("root")
    }
}

/// Answers everybody whom the authority vouches for; the URL ends with this name.
async fn server(authority: &Authority, name: &str) -> (Endpoint, JoinHandle<()>) {
    let own = authority.issue(name);
    let mut roots = RootCertStore::empty();
    for root in certificates("the authority", &authority.root()).unwrap() {
        roots.add(root).unwrap();
    }
    let provider = Arc::new(ring::default_provider());
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(
            certificates("the certificate", &own.certificate).unwrap(),
            PrivateKeyDer::from_pem_file(&own.key).unwrap(),
        )
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut request = vec![0; 4096];
            if stream.read(&mut request).await.is_ok() {
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
                let _: Result<_, _> = stream.write_all(answer).await;
                let _: Result<_, _> = stream.shutdown().await;
            }
        }
    });
    (format!("https://127.0.0.1:{port}").parse().unwrap(), serving)
}

async fn asked(endpoint: &Endpoint, credentials: &Credentials) -> Result<Value, Silence> {
    let tls = config(credentials).unwrap();
    ask(endpoint, "/", Some(tls), Duration::from_secs(20)).await
}

#[tokio::test]
async fn both_ends_have_to_be_vouched_for() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let (endpoint, serving) = server(&ours, "127.0.0.1").await;
    let good = Credentials { authority: ours.root(), own: Some(ours.issue("schism")) };
    assert!(asked(&endpoint, &good).await.is_ok());

    let anonymous = Credentials { own: None, ..good.clone() };
    let stranger = Credentials { own: Some(theirs.issue("schism")), ..good.clone() };
    for refused in [anonymous, stranger] {
        // TLS 1.3 tells it after the handshake, when the first answer is awaited.
        let said = asked(&endpoint, &refused).await.unwrap_err();
        assert!(matches!(said, Silence::Broken(_) | Silence::Tls(_)), "{said}");
    }
    let distrustful = Credentials { authority: theirs.root(), ..good.clone() };
    let said = asked(&endpoint, &distrustful).await.unwrap_err();
    assert!(matches!(said, Silence::Tls(_)), "{said}");
    serving.abort();

    let (endpoint, serving) = server(&ours, "elsewhere").await;
    let said = asked(&endpoint, &good).await.unwrap_err();
    assert!(matches!(said, Silence::Tls(_)), "{said}");
    serving.abort();
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let authority = Authority::new();
    let own = authority.issue("schism");
    let none = authority.directory.path().join("none");
    let table = [
        Credentials { authority: none.clone(), own: None },
        // A key is no certificate.
        Credentials { authority: own.key.clone(), own: None },
        Credentials {
            authority: authority.root(),
            own: Some(OwnCertificate { key: none, ..own.clone() }),
        },
    ];
    for credentials in table {
        let error = config(&credentials).unwrap_err();
        assert!(matches!(error, TlsError::File { .. }), "{error}");
        assert!(error.to_string().contains("cannot read the "), "{error}");
    }
}
