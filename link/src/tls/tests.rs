//! Real TLS over loopback: who gets in, and who does not.

mod authority;

use std::fs;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::{Duration, Instant};

use authority::{Authority, Purpose, Wish};
use proto::agent::Hello;
use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::{HelloError, HostPort, Issued, Principal, PrincipalError};

const SHORT: Duration = Duration::from_millis(200);

struct Stage {
    authority: Authority,
    listener: TcpListener,
    acceptor: Acceptor,
    address: HostPort,
}

/// What came of one connection, at both ends.
type Met = (Result<Accepted, AcceptError>, Result<u8, String>);

impl Stage {
    async fn new(door: Door) -> Self {
        Self::with(Authority::new(), door, &Wish::controller()).await
    }

    async fn with(authority: Authority, door: Door, server: &Wish<'_>) -> Self {
        let material = Material::load(&authority.issue("server", server)).unwrap();
        let acceptor = material.acceptor(door, Arc::new(Issued::load(authority.issued()))).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string().parse().unwrap();
        Self { authority, listener, acceptor, address }
    }

    /// Meets a client, which reads one byte.
    async fn meet(&self, client: &Files) -> Met {
        self.meet_as(&Material::load(client).unwrap().connector().unwrap(), "localhost").await
    }

    async fn meet_as(&self, connector: &Connector, name: &str) -> Met {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let here = async {
            let (tcp, _) = self.listener.accept().await.unwrap();
            let mut accepted = self.acceptor.accept(tcp).await?;
            // The other end may have gone by now, having refused this one.
            let _ = accepted.stream.write_all(b"!").await;
            let _ = accepted.stream.flush().await;
            Ok(accepted)
        };
        let there = async {
            let mut stream =
                connector.dial(&self.address, &name).await.map_err(|error| error.to_string())?;
            stream.read_u8().await.map_err(|error| error.to_string())
        };
        tokio::join!(here, there)
    }
}

#[tokio::test]
async fn the_right_ones_meet() {
    let table =
        [(Door::Agents, "schism://agent/n1"), (Door::Control, "schism://user/ada/operator")];
    for (door, uri) in table {
        let stage = Stage::new(door).await;
        let files = stage.authority.issue("client", &Wish::client(uri));
        let (accepted, read) = stage.meet(&files).await;
        let accepted = accepted.unwrap();
        assert_eq!(accepted.principal.to_string(), uri);
        assert_eq!(accepted.fingerprint, Material::load(&files).unwrap().fingerprint());
        assert_eq!(read, Ok(b'!'));
    }
}

#[tokio::test]
async fn the_wrong_ones_do_not_get_in() {
    let stage = Stage::new(Door::Agents).await;
    let count = std::cell::Cell::new(0);
    let own = |wish: &Wish<'_>| {
        count.set(count.get() + 1);
        stage.authority.issue(&format!("client{}", count.get()), wish)
    };
    let agent = "schism://agent/n1";
    // The authority that the client trusts is the server's own, or the client would not come.
    let other = Authority::new();
    let stranger = {
        let mut files = other.issue("client", &Wish::client(agent));
        files.ca = stage.authority.file("ca.pem");
        files
    };
    let table = [
        (
            own(&Wish::client("schism://user/ada/admin")),
            "refused: schism://user/ada/admin does not come",
            "CertificateUnknown",
        ),
        (
            own(&Wish { uris: &["schism://controller/c"], ..Wish::client(agent) }),
            "refused: schism://controller/c does not come",
            "CertificateUnknown",
        ),
        (
            own(&Wish { uris: &[agent, "schism://user/ada/admin"], ..Wish::client(agent) }),
            "with 2 URIs",
            "CertificateUnknown",
        ),
        (own(&Wish { days: (-2, -1), ..Wish::client(agent) }), "expired", "CertificateExpired"),
        (own(&Wish { days: (1, 2), ..Wish::client(agent) }), "not valid yet", "CertificateExpired"),
        (
            own(&Wish { purpose: Purpose::Server, ..Wish::client(agent) }),
            "TLS: ",
            "UnsupportedCertificate",
        ),
        (stranger, "TLS: ", "UnknownCA"),
    ];
    for (files, refused, told) in table {
        // Otherwise it would be refused for not being in it.
        stage.authority.admit(&files);
        // As a client that does not look at its own.
        let connector = authority::raw_connector(&files, Some(&files));
        let (accepted, read) = stage.meet_as(&connector, "localhost").await;
        let error = accepted.unwrap_err().to_string();
        assert!(error.contains(refused), "{refused}: {error}");
        let read = read.unwrap_err();
        assert!(read.contains(told), "{refused}: {read}");
    }
}

#[tokio::test]
async fn a_certificate_that_names_nobody_is_refused() {
    let stage = Stage::new(Door::Agents).await;
    let sound = stage.authority.issue("sound", &Wish::client("schism://agent/n1"));
    let nobody = Wish { uris: &[], ..Wish::client("") };
    let nameless = stage.authority.issue("nameless", &nobody);
    let refused = Material::load(&nameless).unwrap_err();
    assert!(matches!(refused, MaterialError::Principal { error: PrincipalError::Nobody, .. }));

    // As a client that does not look at its own.
    let connector = authority::raw_connector(&sound, Some(&nameless));
    let (accepted, _) = stage.meet_as(&connector, "localhost").await;
    let refusal = accepted.unwrap_err();
    assert!(
        matches!(refusal, AcceptError::Refused(Refusal::Principal(PrincipalError::Nobody))),
        "{refusal}"
    );
}

#[tokio::test]
async fn what_is_removed_from_the_file_is_revoked() {
    let stage = Stage::new(Door::Agents).await;
    let files = stage.authority.issue("client", &Wish::client("schism://agent/n1"));
    // The very same client: a session that it could resume would show no certificate.
    let sound = Material::load(&files).unwrap();
    let connector = authority::raw_connector(&files, Some(&files));
    assert!(stage.meet_as(&connector, "localhost").await.0.is_ok());
    fs::write(stage.authority.issued(), "").unwrap();
    let (accepted, read) = stage.meet_as(&connector, "localhost").await;
    let AcceptError::Refused(Refusal::NotIssued { principal, fingerprint }) = accepted.unwrap_err()
    else {
        panic!("it was refused for another reason");
    };
    assert_eq!(principal.to_string(), "schism://agent/n1");
    assert_eq!(fingerprint, sound.fingerprint());
    assert!(read.is_err());
    stage.authority.admit(&files);
    assert!(stage.meet_as(&connector, "localhost").await.0.is_ok());
    fs::remove_file(stage.authority.issued()).unwrap();
    assert!(stage.meet_as(&connector, "localhost").await.0.is_err());
}

#[tokio::test]
async fn without_a_certificate_nobody_gets_in() {
    let stage = Stage::new(Door::Agents).await;
    let files = stage.authority.issue("client", &Wish::client("schism://agent/n1"));
    let connector = authority::raw_connector(&files, None);
    let (accepted, read) = stage.meet_as(&connector, "localhost").await;
    let error = accepted.unwrap_err().to_string();
    assert!(error.contains("no certificates"), "{error}");
    assert!(read.unwrap_err().contains("CertificateRequired"));
}

#[tokio::test]
async fn only_a_controller_of_this_name_is_dialled() {
    let agent = Wish { uris: &["schism://agent/n1"], ..Wish::controller() };
    let table = [
        (Wish::controller(), "localhost", None),
        (Wish::controller(), "127.0.0.1", None),
        (Wish::controller(), "other", Some("not valid for name")),
        (Wish::controller(), "127.0.0.2", Some("not valid for name")),
        (agent, "localhost", Some("schism://agent/n1 is no controller")),
        (
            Wish {
                uris: &["schism://controller/a", "schism://controller/b"],
                ..Wish::controller()
            },
            "localhost",
            Some("with 2 URIs"),
        ),
        (Wish { days: (-2, -1), ..Wish::controller() }, "localhost", Some("expired")),
        (Wish { purpose: Purpose::Client, ..Wish::controller() }, "localhost", Some("usage")),
    ];
    for (server, name, refused) in table {
        let authority = Authority::new();
        let files = authority.issue("client", &Wish::client("schism://agent/n2"));
        let server = authority.issue("server", &server);
        let acceptor = authority::raw_acceptor(&server);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string().parse().unwrap();
        let connector = Material::load(&files).unwrap().connector().unwrap();
        let name = ServerName::try_from(name).unwrap();
        let here = async { acceptor.accept(listener.accept().await.unwrap().0).await };
        let (_, dialled) = tokio::join!(here, connector.dial(&address, &name));
        match (dialled, refused) {
            (Ok(_), None) => {}
            (Err(error), Some(refused)) => {
                assert!(error.to_string().contains(refused), "{refused}: {error}");
            }
            (dialled, _) => panic!("{name:?}: {dialled:?}"),
        }
    }
}

#[tokio::test]
async fn an_authority_that_is_not_ours_is_not_dialled() {
    let stage = Stage::new(Door::Agents).await;
    let other = Authority::new();
    let files = other.issue("client", &Wish::client("schism://agent/n1"));
    let (accepted, read) = stage.meet(&files).await;
    assert!(accepted.is_err());
    assert!(read.unwrap_err().contains("UnknownIssuer"));
}

#[tokio::test]
async fn a_peer_that_never_speaks_holds_nothing() {
    let stage = Stage::new(Door::Agents).await;
    let acceptor = stage.acceptor.clone().within(SHORT);
    let began = Instant::now();
    let silent = TcpStream::connect(stage.listener.local_addr().unwrap()).await.unwrap();
    let refused = acceptor.accept(stage.listener.accept().await.unwrap().0).await.unwrap_err();
    assert!(matches!(refused, AcceptError::Timeout(SHORT)), "{refused}");
    assert!(began.elapsed() < Duration::from_secs(2));
    drop(silent);

    // Nor does one that says what is no TLS, or half of it.
    for said in [b"GET / HTTP/1.1\r\n\r\n".as_slice(), &[0x16, 3, 1, 0xff]] {
        let mut peer = TcpStream::connect(stage.listener.local_addr().unwrap()).await.unwrap();
        peer.write_all(said).await.unwrap();
        let tcp = stage.listener.accept().await.unwrap().0;
        let (refused, read) = tokio::join!(acceptor.accept(tcp), async {
            let mut rest = Vec::new();
            peer.read_to_end(&mut rest).await.map(|_| rest)
        });
        assert!(refused.is_err(), "{said:?}: {read:?}");
    }
}

#[tokio::test]
async fn a_controller_that_never_speaks_is_given_up() {
    let stage = Stage::new(Door::Agents).await;
    let files = stage.authority.issue("client", &Wish::client("schism://agent/n1"));
    let connector = Material::load(&files).unwrap().connector().unwrap().within(SHORT);
    let name = ServerName::try_from("localhost").unwrap();
    // The kernel opens the connection; nobody takes it.
    let error = connector.dial(&stage.address, &name).await.unwrap_err();
    assert!(matches!(error, DialError::Timeout { .. }), "{error}");

    let address = stage.address.clone();
    drop(stage);
    let error = connector.dial(&address, &name).await.unwrap_err();
    let refused = |error: &std::io::Error| error.kind() == ErrorKind::ConnectionRefused;
    assert!(matches!(&error, DialError::Connect { error, .. } if refused(error)), "{error}");
}

#[tokio::test]
async fn a_hello_of_a_gigabyte_is_refused_unread() {
    let stage = Stage::new(Door::Agents).await;
    let files = stage.authority.issue("client", &Wish::client("schism://agent/n1"));
    let connector = Material::load(&files).unwrap().connector().unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let here = async {
        let tcp = stage.listener.accept().await.unwrap().0;
        let mut accepted = stage.acceptor.accept(tcp).await.unwrap();
        crate::read::<Hello>(&mut accepted.stream).await
    };
    let there = async {
        let mut stream = connector.dial(&stage.address, &name).await.unwrap();
        stream.write_u32(1 << 30).await.unwrap();
        stream.write_all(&[0; 1 << 16]).await.unwrap();
        stream.flush().await.unwrap();
    };
    let (read, ()) = tokio::join!(here, there);
    assert!(matches!(read.unwrap_err(), HelloError::TooLong(size) if size == 1 << 30));
}

#[test]
fn files_that_do_not_fit_are_named() {
    let authority = Authority::new();
    let files = authority.issue("client", &Wish::client("schism://agent/n1"));
    let other = authority.issue("other", &Wish::client("schism://agent/n2"));
    let key = fs::read_to_string(&files.key).unwrap();
    let secret = key.lines().nth(1).unwrap();
    let damaged = authority.file("damaged.key");
    fs::write(&damaged, format!("-----BEGIN PRIVATE KEY-----\n{secret}\n-----BEGIN {secret}\n"))
        .unwrap();
    let missing = authority.file("missing.pem");
    let changed = |change: &dyn Fn(&mut Files)| {
        let mut files = files.clone();
        change(&mut files);
        Material::load(&files).unwrap_err().to_string()
    };
    let table = [
        (changed(&|files| files.ca = missing.clone()), "read ", "missing.pem: No such file"),
        (
            changed(&|files| files.certificate = missing.clone()),
            "read ",
            "missing.pem: No such file",
        ),
        (changed(&|files| files.key = missing.clone()), "read ", "missing.pem: No such file"),
        (
            changed(&|files| files.ca = files.key.clone()),
            "",
            "client.key has no certificate in PEM form",
        ),
        (
            changed(&|files| files.key = files.ca.clone()),
            "",
            "ca.pem has no private key in PEM form",
        ),
        (changed(&|files| files.key = damaged.clone()), "", "damaged.key is damaged"),
        (changed(&|files| files.key = other.key.clone()), "the key in ", "client.pem"),
        (
            changed(&|files| files.certificate = files.ca.clone()),
            "",
            "ca.pem is a certificate without a URI",
        ),
    ];
    for (error, begin, said) in table {
        assert!(error.starts_with(begin) && error.contains(said), "{said}: {error}");
        assert!(!error.contains(secret), "{error}");
    }
    let shown = format!("{:?}", Material::load(&files).unwrap());
    assert!(!shown.contains(secret) && shown.contains("n1"), "{shown}");
}

#[test]
fn only_a_controller_listens() {
    let authority = Authority::new();
    let files = authority.issue("client", &Wish::client("schism://agent/n1"));
    let issued = Arc::new(Issued::load(authority.issued()));
    let refused = Material::load(&files).unwrap().acceptor(Door::Agents, issued).unwrap_err();
    assert!(matches!(refused, MaterialError::NoController(Principal::Agent(_))), "{refused}");
}

/// The chain of a client that does not look at its own certificate.
fn chain(files: &Files) -> Vec<crate::CertificateDer<'static>> {
    crate::CertificateDer::pem_file_iter(&files.certificate)
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap()
}
