//! What `schism certs` prints.

use std::path::PathBuf;
use std::time::SystemTime;

use link::{Entry, Files, Fingerprint};
use serde::{Serialize, Serializer};

use super::authority::Made;
use crate::output::table::Align::Left;
use crate::output::table::{Cell, Table, Tone};
use crate::output::{Detail, Report};

/// What a certificate is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Standing {
    /// Controllers let its holder in.
    Admitted,
    /// Its time is over.
    Expired,
    /// It is not in `issued`.
    Revoked,
}

impl Standing {
    const fn word(self) -> &'static str {
        match self {
            Self::Admitted => "admitted",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }

    const fn tone(self) -> Tone {
        match self {
            Self::Admitted => Tone::Good,
            Self::Expired => Tone::Doubtful,
            Self::Revoked => Tone::Bad,
        }
    }
}

/// A certificate as documents and tables have it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Certificate {
    #[serde(serialize_with = "as_text")]
    pub(super) principal: link::Principal,
    #[serde(serialize_with = "as_text")]
    pub(super) fingerprint: Fingerprint,
    #[serde(serialize_with = "as_moment")]
    expires: SystemTime,
    standing: Standing,
    admitted: bool,
}

impl Certificate {
    pub(super) fn new(entry: Entry, standing: Standing) -> Self {
        let Entry { fingerprint, principal, expires } = entry;
        let admitted = standing == Standing::Admitted;
        Self { principal, fingerprint, expires, standing, admitted }
    }
}

/// Of `certs init`.
#[derive(Debug, Serialize)]
pub(super) struct AuthorityReport {
    schema: &'static str,
    name: String,
    #[serde(serialize_with = "as_text")]
    fingerprint: Fingerprint,
    #[serde(serialize_with = "as_moment")]
    expires: SystemTime,
    certificate: PathBuf,
    key: PathBuf,
    issued: PathBuf,
}

impl AuthorityReport {
    pub(super) fn new(
        name: &str,
        made: &Made,
        certificate: PathBuf,
        key: PathBuf,
        issued: PathBuf,
    ) -> Self {
        let (fingerprint, expires) = (made.fingerprint, made.expires);
        let (schema, name) = ("schism.authority/v1", name.to_owned());
        Self { schema, name, fingerprint, expires, certificate, key, issued }
    }
}

impl Report for AuthorityReport {
    fn text(&self, _detail: Detail) -> String {
        format!(
            "made the authority {}, which ends on {}\n  {}  goes to every agent, controller and \
             person\n  {}  signs; whoever has it can make certificates\n  {}  is read by \
             controllers: who is admitted",
            self.name,
            moment(self.expires),
            self.certificate.display(),
            self.key.display(),
            self.issued.display(),
        )
    }

    fn names(&self) -> Vec<String> {
        vec![self.fingerprint.to_string()]
    }
}

/// Of `certs issue`.
#[derive(Debug, Serialize)]
pub(super) struct IssueReport {
    schema: &'static str,
    #[serde(flatten)]
    issued: Certificate,
    certificate: PathBuf,
    key: PathBuf,
}

impl IssueReport {
    pub(super) fn new(entry: Entry, files: Files) -> Self {
        let issued = Certificate::new(entry, Standing::Admitted);
        let Files { certificate, key, ca: _ } = files;
        Self { schema: "schism.certificate/v1", issued, certificate, key }
    }
}

impl Report for IssueReport {
    fn text(&self, _detail: Detail) -> String {
        format!(
            "issued {} for {}, which ends on {}\n  {}\n  {}",
            self.issued.fingerprint.short(),
            self.issued.principal,
            moment(self.issued.expires),
            self.certificate.display(),
            self.key.display(),
        )
    }

    fn names(&self) -> Vec<String> {
        vec![self.issued.fingerprint.to_string()]
    }
}

/// Of `certs list`.
#[derive(Debug, Serialize)]
pub(super) struct ListReport {
    schema: &'static str,
    certificates: Vec<Certificate>,
}

impl ListReport {
    pub(super) fn new(mut certificates: Vec<Certificate>) -> Self {
        certificates.sort_by(|a, b| {
            (&a.principal, a.expires, a.fingerprint).cmp(&(&b.principal, b.expires, b.fingerprint))
        });
        Self { schema: "schism.certs/v1", certificates }
    }
}

impl Report for ListReport {
    fn text(&self, detail: Detail) -> String {
        if self.certificates.is_empty() {
            return "no certificate was issued".to_owned();
        }
        let columns =
            [("PRINCIPAL", Left), ("FINGERPRINT", Left), ("EXPIRES", Left), ("STANDING", Left)];
        let mut table = Table::new(&columns);
        for certificate in &self.certificates {
            let fingerprint = match detail {
                Detail::Normal => certificate.fingerprint.short(),
                Detail::Wide => certificate.fingerprint.to_string(),
            };
            let standing = certificate.standing;
            table.row(vec![
                (&certificate.principal).into(),
                fingerprint.into(),
                moment(certificate.expires).into(),
                Cell::toned(standing.word(), standing.tone()),
            ]);
        }
        table.text()
    }

    fn names(&self) -> Vec<String> {
        self.certificates.iter().map(|certificate| certificate.fingerprint.to_string()).collect()
    }
}

/// Of `certs revoke`.
#[derive(Debug, Serialize)]
pub(super) struct RevokeReport {
    schema: &'static str,
    certificates: Vec<Certificate>,
}

impl RevokeReport {
    pub(super) fn new(certificates: Vec<Certificate>) -> Self {
        Self { schema: "schism.revoked/v1", certificates }
    }
}

impl Report for RevokeReport {
    fn text(&self, _detail: Detail) -> String {
        let line = |certificate: &Certificate| {
            format!("revoked {} of {}", certificate.fingerprint.short(), certificate.principal)
        };
        self.certificates.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    fn names(&self) -> Vec<String> {
        self.certificates.iter().map(|certificate| certificate.fingerprint.to_string()).collect()
    }
}

/// A moment in UTC.
pub(super) fn moment(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string()
}

fn as_moment<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&moment(*time))
}

fn as_text<S: Serializer>(
    value: &impl std::fmt::Display,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}
