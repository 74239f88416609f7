//! Certificates for a test, made in its own directory.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use link::{Entry, Files, Fingerprint};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    SanType,
};
use tempfile::TempDir;

/// An authority with its file of what it has issued.
pub(crate) struct Authority {
    pub(crate) directory: TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        fs::write(directory.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { directory, issuer }
    }

    pub(crate) fn issued(&self) -> PathBuf {
        self.directory.path().join("issued")
    }

    pub(crate) fn controller(&self) -> Files {
        self.issue("schism://controller/c1", ExtendedKeyUsagePurpose::ServerAuth, Lasts::Year)
    }

    pub(crate) fn agent(&self, node: &str) -> Files {
        let uri = format!("schism://agent/{node}");
        self.issue(&uri, ExtendedKeyUsagePurpose::ClientAuth, Lasts::Year)
    }

    /// One that ended an hour ago.
    pub(crate) fn expired_agent(&self, node: &str) -> Files {
        let uri = format!("schism://agent/{node}");
        self.issue(&uri, ExtendedKeyUsagePurpose::ClientAuth, Lasts::Ended)
    }

    fn issue(&self, uri: &str, usage: ExtendedKeyUsagePurpose, lasts: Lasts) -> Files {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.subject_alt_names.push(SanType::URI(uri.try_into().unwrap()));
        params.extended_key_usages = vec![usage];
        if matches!(lasts, Lasts::Ended) {
            let hour = Duration::from_secs(3_600);
            params.not_before = (SystemTime::now() - 2 * hour).into();
            params.not_after = (SystemTime::now() - hour).into();
        }
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let name = uri.trim_start_matches("schism://").replace('/', "-");
        let files = Files::named(self.directory.path(), &name);
        fs::write(&files.certificate, certificate.pem()).unwrap();
        fs::write(&files.key, key.serialize_pem()).unwrap();
        let entry = Entry {
            fingerprint: Fingerprint::of(certificate.der()),
            principal: uri.parse().unwrap(),
            expires: SystemTime::UNIX_EPOCH,
        };
        let listed = fs::read_to_string(self.issued()).unwrap_or_default();
        fs::write(self.issued(), format!("{listed}{entry}\n")).unwrap();
        files
    }
}

enum Lasts {
    Year,
    Ended,
}
