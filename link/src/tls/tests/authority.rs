//! An authority, and ends that break the rules.

use std::fs;
use std::path::PathBuf;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, SanType,
};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::version::TLS13;
use rustls::{ClientConfig, ServerConfig};
use tempfile::TempDir;
use time::{Duration, OffsetDateTime};

use super::super::{Acceptor, Connector, Files, provider};
use super::chain;
use crate::{Entry, Fingerprint};

/// What a certificate is good for.
#[derive(Clone, Copy)]
pub(super) enum Purpose {
    Client,
    Server,
}

/// What a certificate says.
#[derive(Clone, Copy)]
pub(super) struct Wish<'a> {
    pub(super) uris: &'a [&'a str],
    /// From when until when, from today.
    pub(super) days: (i64, i64),
    pub(super) purpose: Purpose,
}

impl Wish<'static> {
    pub(super) const fn controller() -> Self {
        Self { uris: &["schism://controller/c1"], days: (-1, 1), purpose: Purpose::Server }
    }

    pub(super) fn client(uri: &'static str) -> Self {
        let uris = Box::leak(Box::new([uri]));
        Self { uris, days: (-1, 1), purpose: Purpose::Client }
    }
}

pub(super) struct Authority {
    directory: TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    pub(super) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        // Two of one name would be taken for one whose key is wrong.
        let name = directory.path().to_string_lossy().into_owned();
        params.distinguished_name.push(DnType::CommonName, name);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        fs::write(directory.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { directory, issuer }
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(super) fn issued(&self) -> PathBuf {
        self.file("issued")
    }

    /// Signs a certificate and, if it names somebody, admits it.
    pub(super) fn issue(&self, name: &str, wish: &Wish<'_>) -> Files {
        let hosts = match wish.purpose {
            Purpose::Server => vec!["localhost".to_owned(), "127.0.0.1".to_owned()],
            Purpose::Client if wish.uris.is_empty() => vec!["localhost".to_owned()],
            Purpose::Client if wish.uris[0].starts_with("schism://controller") => {
                vec!["localhost".to_owned()]
            }
            Purpose::Client => vec![],
        };
        let mut params = CertificateParams::new(hosts).unwrap();
        let uris = wish.uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap()));
        params.subject_alt_names.extend(uris);
        let now = OffsetDateTime::now_utc();
        params.not_before = now + Duration::days(wish.days.0);
        params.not_after = now + Duration::days(wish.days.1);
        params.extended_key_usages = vec![match wish.purpose {
            Purpose::Client => ExtendedKeyUsagePurpose::ClientAuth,
            Purpose::Server => ExtendedKeyUsagePurpose::ServerAuth,
        }];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let files = Files::named(self.directory.path(), name);
        fs::write(&files.certificate, certificate.pem()).unwrap();
        fs::write(&files.key, key.serialize_pem()).unwrap();
        self.admit(&files);
        files
    }

    /// Admits a certificate, under whatever name.
    pub(super) fn admit(&self, files: &Files) {
        let entry = Entry {
            fingerprint: Fingerprint::of(&chain(files)[0]),
            principal: "schism://agent/somebody".parse().unwrap(),
            expires: std::time::UNIX_EPOCH,
        };
        let listed = fs::read_to_string(self.issued()).unwrap_or_default();
        fs::write(self.issued(), format!("{listed}{entry}\n")).unwrap();
    }
}

/// A client that resumes sessions if it may, and shows any certificate, or none.
pub(super) fn raw_connector(trusts: &Files, shows: Option<&Files>) -> Connector {
    let mut roots = rustls::RootCertStore::empty();
    let authority = Files { certificate: trusts.ca.clone(), ..trusts.clone() };
    roots.add(chain(&authority).remove(0)).unwrap();
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_root_certificates(roots);
    let config = match shows {
        Some(files) => {
            let key = PrivateKeyDer::from_pem_file(&files.key).unwrap();
            config.with_client_auth_cert(chain(files), key).unwrap()
        }
        None => config.with_no_client_auth(),
    };
    Connector::new(config)
}

/// A server that shows any certificate, and lets everybody in that the authority has signed.
pub(super) fn raw_acceptor(files: &Files) -> Acceptor {
    let config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain(files), PrivateKeyDer::from_pem_file(&files.key).unwrap())
        .unwrap();
    Acceptor::new(config)
}
