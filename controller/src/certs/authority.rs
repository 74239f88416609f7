//! Keys and signatures.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use link::{CertificateDer, Entry, Fingerprint, Principal, ServerName};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
    PublicKeyData, SanType,
};
use time::OffsetDateTime;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::CertsError;
use super::directory::{Directory, first};
use crate::cli::{Days, Host};

const DAY: Duration = Duration::from_secs(24 * 3600);
/// Ten years.
const AUTHORITY_DAYS: u32 = 3652;
/// How long before its making a certificate begins: the clocks of nodes are hours apart, or stand.
const BEFORE: Duration = DAY;

/// What was made, in PEM form.
pub(crate) struct Made {
    pub(crate) certificate: String,
    pub(crate) key: String,
    pub(super) fingerprint: Fingerprint,
    pub(super) expires: SystemTime,
}

/// For whom a certificate is.
pub(crate) struct Subject<'a> {
    pub(crate) principal: Principal,
    pub(crate) hosts: &'a [Host],
}

/// A certificate that was signed.
pub(crate) struct Signed {
    pub(crate) certificate: String,
    pub(crate) key: String,
    pub(super) entry: Entry,
}

/// An authority that can sign.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    expires: SystemTime,
}

/// Makes an authority.
pub(crate) fn make(name: &str, now: SystemTime) -> Result<Made, CertsError> {
    let mut params = lasting(now, DAY * AUTHORITY_DAYS);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    // Two authorities of one name would be taken for one whose signatures are wrong.
    let mut mark = [0; 8];
    getrandom::fill(&mut mark)?;
    let mark = format!("{:016x}", u64::from_ne_bytes(mark));
    params.distinguished_name.push(DnType::CommonName, name);
    params.distinguished_name.push(DnType::OrganizationalUnitName, mark);
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let expires = system_time(params.not_after);
    let certificate = params.self_signed(&key)?;
    Ok(Made {
        fingerprint: Fingerprint::of(certificate.der()),
        certificate: certificate.pem(),
        key: key.serialize_pem(),
        expires,
    })
}

impl Authority {
    /// Reads the authority of a directory.
    pub(super) fn load(directory: &Directory) -> Result<Self, CertsError> {
        let (path, certificate) = directory.read_authority("ca.pem")?;
        let (key_path, key) = directory.read_authority("ca.key")?;
        Self::read(&certificate, &key, path, key_path)
    }

    /// Reads one that is kept elsewhere, both PEM.
    pub(crate) fn of_pem(certificate: &str, key: &str) -> Result<Self, CertsError> {
        Self::read(certificate, key, "its certificate".into(), "its key".into())
    }

    fn read(
        certificate: &str,
        key: &str,
        path: PathBuf,
        key_path: PathBuf,
    ) -> Result<Self, CertsError> {
        // The readers' own words could repeat what is in the files.
        let no_key = |_| CertsError::Damaged {
            path: key_path.clone(),
            reason: "has no key that can be used",
        };
        let no_authority =
            || CertsError::Damaged { path: path.clone(), reason: "has no authority's certificate" };
        let key = KeyPair::from_pem(key).map_err(no_key)?;
        let der = first(certificate).ok_or_else(no_authority)?;
        let (_, parsed) = X509Certificate::from_der(&der).map_err(|_| no_authority())?;
        if parsed.public_key().subject_public_key.data.as_ref() != key.der_bytes() {
            return Err(CertsError::Damaged { path: key_path, reason: "is not the key of ca.pem" });
        }
        let expires = expiry(&parsed);
        let issuer = Issuer::from_ca_cert_der(&der, key).map_err(|_| no_authority())?;
        Ok(Self { issuer, expires })
    }

    /// Signs a certificate with a new key.
    pub(crate) fn sign(
        &self,
        subject: &Subject<'_>,
        days: Days,
        now: SystemTime,
    ) -> Result<Signed, CertsError> {
        let mut params = lasting(now, DAY * u32::from(days.0));
        let expires = system_time(params.not_after);
        if expires > self.expires {
            return Err(CertsError::Outlives(self.expires));
        }
        let uri = subject.principal.to_string();
        // For people who look at it; X.520 allows 64 letters (ub-common-name).
        let common: String = subject.principal.name().chars().take(64).collect();
        params.distinguished_name.push(DnType::CommonName, common);
        params.subject_alt_names.push(SanType::URI(uri.as_str().try_into()?));
        for host in subject.hosts {
            let name = if let ServerName::IpAddress(address) = &host.0 {
                SanType::IpAddress((*address).into())
            } else {
                SanType::DnsName(host.0.to_str().as_ref().try_into()?)
            };
            params.subject_alt_names.push(name);
        }
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![match &subject.principal {
            Principal::Controller(_) => ExtendedKeyUsagePurpose::ServerAuth,
            Principal::Agent(_) | Principal::User { .. } => ExtendedKeyUsagePurpose::ClientAuth,
        }];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let certificate: Certificate = params.signed_by(&key, &self.issuer)?;
        let fingerprint = Fingerprint::of(certificate.der());
        let entry = Entry { fingerprint, principal: subject.principal.clone(), expires };
        Ok(Signed { certificate: certificate.pem(), key: key.serialize_pem(), entry })
    }
}

/// Whom a certificate is for and when it expires; `None` if it says neither.
pub(super) fn entry(certificate: &CertificateDer<'_>) -> Option<Entry> {
    let (principal, fingerprint) = Principal::of(certificate).ok()?;
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    Some(Entry { fingerprint, principal, expires: expiry(&parsed) })
}

/// When a certificate was made and when it ends; PEM.
pub(crate) fn span(certificate: &str) -> Result<(SystemTime, SystemTime), CertsError> {
    let reason = "has no certificate";
    let damaged = || CertsError::Damaged { path: "its certificate".into(), reason };
    let der = first(certificate).ok_or_else(damaged)?;
    let (_, parsed) = X509Certificate::from_der(&der).map_err(|_| damaged())?;
    let begins = seconds(parsed.validity().not_before.timestamp());
    Ok((begins + BEFORE, expiry(&parsed)))
}

/// Without a name, from a while ago.
fn lasting(now: SystemTime, length: Duration) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.not_before = OffsetDateTime::from(now - BEFORE);
    params.not_after = OffsetDateTime::from(now + length);
    params
}

/// In whole seconds, as certificates have it.
fn system_time(time: OffsetDateTime) -> SystemTime {
    seconds(time.unix_timestamp())
}

fn expiry(certificate: &X509Certificate<'_>) -> SystemTime {
    seconds(certificate.validity().not_after.timestamp())
}

/// What ended before 1970 has ended.
fn seconds(timestamp: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(timestamp).unwrap_or(0))
}
