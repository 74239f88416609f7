//! `schism certs`: an authority in a directory, and the certificates that it signs.

mod authority;
mod directory;
mod report;
mod revoke;

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use link::{Principal, SCHEME};

use crate::cli::{CertsArgs, CertsCommand, IssueArgs, SubjectArgs};
use crate::failure::{Cause, Failure};
use crate::outcome::Outcome;
use crate::output::Output;
pub(crate) use authority::{Authority, Subject, make as make_authority, span};
use directory::{Batch, Directory, Secrecy};
use report::{AuthorityReport, Certificate, IssueReport, ListReport, RevokeReport, Standing};

/// The authority did not do what was asked. Nothing of a key is told.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CertsError {
    #[error("{} exists", .0.display())]
    Exists(PathBuf),
    #[error("{} has no authority: there is no {}", .directory.display(), .missing)]
    NoAuthority { directory: PathBuf, missing: &'static str },
    #[error("{attempt} {}: {error}", .path.display())]
    Io { attempt: &'static str, path: PathBuf, error: std::io::Error },
    #[error("{} {reason}", .path.display())]
    Damaged { path: PathBuf, reason: &'static str },
    #[error("the authority itself ends on {}", report::moment(*.0))]
    Outlives(SystemTime),
    #[error("'ca' is the name of the authority's own files")]
    ReservedName,
    #[error("sign it: {0}")]
    Sign(#[from] rcgen::Error),
    #[error("no certificate that is admitted has this name or fingerprint")]
    Unknown,
    #[error("it names {} certificates:\n{}", .0.len(), .0.join("\n"))]
    Ambiguous(Vec<String>),
    #[error("no random numbers: {0}")]
    Random(#[from] getrandom::Error),
}

impl CertsError {
    fn failure(self, attempted: String, directory: &Path) -> Failure {
        let (cause, hint) = match &self {
            Self::Exists(_) => (
                Cause::Refused,
                "nothing is overwritten; move it away if it is not needed any more, or choose \
                 another directory"
                    .to_owned(),
            ),
            Self::NoAuthority { .. } => (
                Cause::NotFound,
                format!("make one with: schism certs init --dir {}", directory.display()),
            ),
            Self::Outlives(_) => (Cause::WrongUsage, "ask for fewer --days".to_owned()),
            Self::Unknown => {
                (Cause::NotFound, format!("see: schism certs list --dir {}", directory.display()))
            }
            Self::Ambiguous(_) => (Cause::WrongUsage, "write more of the fingerprint".to_owned()),
            Self::ReservedName => (Cause::WrongUsage, String::new()),
            Self::Io { .. } | Self::Damaged { .. } | Self::Sign(_) | Self::Random(_) => {
                (Cause::Other, String::new())
            }
        };
        Failure::caused(cause, attempted, self).hint(hint)
    }
}

/// Runs `schism certs`.
pub(crate) fn run(args: &CertsArgs, output: Output) -> Result<Outcome, Failure> {
    let directory = Directory::new(&args.dir);
    let fail = |attempted: String| |error: CertsError| error.failure(attempted, &args.dir);
    match &args.command {
        CertsCommand::Init(init) => {
            let attempted = format!("cannot make an authority in {}", args.dir.display());
            let report = make(&directory, &init.name).map_err(fail(attempted))?;
            output.show(&report)?;
        }
        CertsCommand::Issue(issue) => {
            let subject = subject(&issue.subject);
            let attempted = format!("cannot issue a certificate for {}", subject.principal);
            let report = sign(&directory, issue, &subject).map_err(fail(attempted))?;
            output.show(&report)?;
        }
        CertsCommand::List => {
            let attempted = format!("cannot list the certificates in {}", args.dir.display());
            let (report, notes) = list(&directory).map_err(fail(attempted))?;
            output.show(&report)?;
            notes.iter().for_each(|note| output.note(note));
        }
        CertsCommand::Revoke(revoke) => {
            let attempted = format!("cannot revoke {}", fault::Legible(&revoke.what));
            let certificates = revoke::revoke(&directory, &revoke.what).map_err(fail(attempted))?;
            output.show(&RevokeReport::new(certificates))?;
        }
    }
    Ok(Outcome::Effective)
}

fn make(directory: &Directory, name: &str) -> Result<AuthorityReport, CertsError> {
    directory.make()?;
    let _lock = directory.lock()?;
    let (certificate, key, issued) = (directory.ca(), directory.ca_key(), directory.issued());
    // Told before anything is written, though only the creation itself decides.
    for path in [&certificate, &key, &issued] {
        if path.symlink_metadata().is_ok() {
            return Err(CertsError::Exists(path.clone()));
        }
    }
    let made = authority::make(name, SystemTime::now())?;
    let mut batch = Batch::default();
    batch.create(&key, &made.key, Secrecy::Secret)?;
    batch.create(&certificate, &made.certificate, Secrecy::Public)?;
    batch.create(&issued, "", Secrecy::Public)?;
    batch.keep();
    Ok(AuthorityReport::new(name, &made, certificate, key, issued))
}

fn subject(args: &SubjectArgs) -> Subject<'_> {
    match args {
        SubjectArgs::Agent { node } => {
            Subject { principal: Principal::Agent(node.clone()), hosts: &[] }
        }
        SubjectArgs::Controller { name, hosts } => {
            Subject { principal: Principal::Controller(name.clone()), hosts }
        }
        SubjectArgs::User { name, role } => {
            let principal = Principal::User { name: name.clone(), role: (*role).into() };
            Subject { principal, hosts: &[] }
        }
    }
}

fn sign(
    directory: &Directory,
    args: &IssueArgs,
    subject: &Subject<'_>,
) -> Result<IssueReport, CertsError> {
    let name = subject.principal.name();
    if name == "ca" {
        return Err(CertsError::ReservedName);
    }
    let _lock = directory.lock()?;
    let signed = Authority::load(directory)?.sign(subject, args.days, SystemTime::now())?;
    let out = args.out.as_deref().unwrap_or_else(|| directory.path());
    let files = link::Files::named(out, name);
    let mut batch = Batch::default();
    batch.create(&files.key, &signed.key, Secrecy::Secret)?;
    batch.create(&files.certificate, &signed.certificate, Secrecy::Public)?;
    // Last: what is admitted exists.
    directory.edit_issued(|text| {
        let gap = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
        format!("{text}{gap}{}\n", signed.entry)
    })?;
    batch.keep();
    Ok(IssueReport::new(signed.entry, files))
}

fn list(directory: &Directory) -> Result<(ListReport, Vec<String>), CertsError> {
    let now = SystemTime::now();
    let listing = directory.listing()?;
    let mut notes: Vec<String> = listing
        .unread
        .iter()
        .map(|line| format!("{}:{line}: names no certificate", directory.issued().display()))
        .collect();
    let mut certificates: Vec<Certificate> = Vec::new();
    for entry in listing.entries {
        if certificates.iter().all(|known| known.fingerprint != entry.fingerprint) {
            let expired = entry.expires <= now;
            let standing = if expired { Standing::Expired } else { Standing::Admitted };
            certificates.push(Certificate::new(entry, standing));
        }
    }
    let (found, unread) = directory.certificates()?;
    for entry in found {
        if certificates.iter().all(|known| known.fingerprint != entry.fingerprint) {
            certificates.push(Certificate::new(entry, Standing::Revoked));
        }
    }
    notes.extend(unread.iter().map(|path| format!("{}: no certificate {SCHEME}…", path.display())));
    Ok((ListReport::new(certificates), notes))
}
