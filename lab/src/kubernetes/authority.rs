//! Who is who in a cluster: one authority, and certificates of it for everybody.

use std::{
    fs, io,
    net::IpAddr,
    path::{Path, PathBuf},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use serde_json::json;
use thiserror::Error;

/// Why there is no certificate.
#[derive(Debug, Error)]
pub enum AuthorityError {
    /// A key or certificate could not be made.
    #[error("a certificate of the cluster: {0}")]
    Make(#[from] rcgen::Error),
    /// A file could not be written.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// By what the API server knows somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Identity<'a> {
    /// May do everything: `system:masters`.
    Administrator,
    /// The controller-manager.
    ControllerManager,
    /// The scheduler.
    Scheduler,
    /// The kubelet of a node.
    Node(&'a str),
    /// What joins services to a node: `system:node-proxier` is bound to this name.
    Proxy,
    /// The API server, where it calls kubelets.
    ApiServer,
    /// Anybody, in one group; what she may do is bound to her name or the group's.
    User {
        /// Her name.
        name: &'a str,
        /// Her group.
        group: &'a str,
    },
}

impl Identity<'_> {
    /// Name and group.
    fn subject(self) -> (String, Option<String>) {
        let masters = Some("system:masters".to_owned());
        match self {
            Self::Administrator => ("admin".to_owned(), masters),
            Self::ControllerManager => ("system:kube-controller-manager".to_owned(), None),
            Self::Scheduler => ("system:kube-scheduler".to_owned(), None),
            Self::Node(name) => (format!("system:node:{name}"), Some("system:nodes".to_owned())),
            Self::Proxy => ("system:kube-proxy".to_owned(), None),
            Self::ApiServer => ("kube-apiserver-kubelet-client".to_owned(), masters),
            Self::User { name, group } => (name.to_owned(), Some(group.to_owned())),
        }
    }
}

/// An authority, and where its files lie.
#[derive(Debug)]
pub(super) struct Authority {
    directory: PathBuf,
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Makes an authority, the API server's certificates, and the keys for tokens of service accounts.
    ///
    /// # Errors
    /// The directory can't be written.
    pub(super) fn create(directory: &Path, hosts: &[IpAddr]) -> Result<Self, AuthorityError> {
        let mut params = named("schism-lab", None);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?.pem();
        let private = key.serialize_pem();
        let issuer = Issuer::new(params, key);
        let authority = Self { directory: directory.to_owned(), certificate, issuer };
        authority.write("ca.crt", &authority.certificate)?;
        authority.write("ca.key", &private)?;
        let tokens = KeyPair::generate()?;
        authority.write("tokens.key", &tokens.serialize_pem())?;
        authority.write("tokens.pub", &tokens.public_key_pem())?;
        authority.serve(hosts)?;
        let (certificate, key) = authority.sign(Identity::ApiServer)?;
        authority.write("kubelet-client.crt", &certificate)?;
        authority.write("kubelet-client.key", &key)?;
        Ok(authority)
    }

    /// Writes settings by which somebody reaches the API server, and says where.
    ///
    /// # Errors
    /// The directory can't be written.
    pub(super) fn admit(
        &self,
        identity: Identity<'_>,
        server: &str,
        file: &str,
    ) -> Result<PathBuf, AuthorityError> {
        let (certificate, key) = self.sign(identity)?;
        let data = |pem: &str| BASE64_STANDARD.encode(pem);
        let settings = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "lab",
            "contexts": [{ "name": "lab", "context": { "cluster": "lab", "user": "lab" } }],
            "clusters": [{ "name": "lab", "cluster": {
                "server": server, "certificate-authority-data": data(&self.certificate),
            } }],
            "users": [{ "name": "lab", "user": {
                "client-certificate-data": data(&certificate), "client-key-data": data(&key),
            } }],
        });
        self.write(file, &settings.to_string())
    }

    /// The certificate of the API server.
    fn serve(&self, hosts: &[IpAddr]) -> Result<(), AuthorityError> {
        let mut params = named("kube-apiserver", None);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        for name in ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost"] {
            params.subject_alt_names.push(SanType::DnsName(name.try_into()?));
        }
        params.subject_alt_names.extend(hosts.iter().copied().map(SanType::IpAddress));
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        self.write("apiserver.crt", &certificate.pem())?;
        self.write("apiserver.key", &key.serialize_pem())?;
        Ok(())
    }

    fn sign(&self, identity: Identity<'_>) -> Result<(String, String), AuthorityError> {
        let (name, group) = identity.subject();
        let mut params = named(&name, group.as_deref());
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok((certificate.pem(), key.serialize_pem()))
    }

    fn write(&self, name: &str, text: &str) -> Result<PathBuf, AuthorityError> {
        let path = self.directory.join(name);
        match fs::write(&path, text) {
            Ok(()) => Ok(path),
            Err(source) => Err(AuthorityError::File { path, source }),
        }
    }
}

fn named(name: &str, group: Option<&str>) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    if let Some(group) = group {
        params.distinguished_name.push(DnType::OrganizationName, group);
    }
    params
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kubernetes_knows_its_own_by_name_and_group() {
        let masters =
            |identity: Identity<'_>| identity.subject().1.as_deref() == Some("system:masters");
        assert!(masters(Identity::Administrator) && masters(Identity::ApiServer));
        for identity in [Identity::Scheduler, Identity::Proxy, Identity::Node("n1")] {
            assert!(!masters(identity), "{identity:?}");
        }
        let node = ("system:node:n1".to_owned(), Some("system:nodes".to_owned()));
        assert_eq!(Identity::Node("n1").subject(), node);
    }
}
