//! Who a certificate is for.

use std::fmt;
use std::str::FromStr;

use fault::{Legible, NodeName};
use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::Fingerprint;

/// The scheme of the URI in which a certificate says who it is for.
pub const SCHEME: &str = "schism://";

/// Who a certificate is for. Printing and parsing are inverse to each other.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Principal {
    /// `schism://agent/NODE`, the agent of a node.
    Agent(NodeName),
    /// `schism://controller/NAME`, a controller.
    Controller(ControllerName),
    /// `schism://user/NAME/ROLE`, a person or a program that asks for faults.
    User {
        /// Who it is.
        name: UserName,
        /// What it may do.
        role: Role,
    },
}

/// What somebody may do; each role may do what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Look.
    Viewer,
    /// Ask for faults, and heal.
    Operator,
    /// Have packets of targets, where controller and agents allow that: what is in them is private.
    Capturer,
    /// Everything, the release of the brake included.
    Admin,
}

/// The name of a controller.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ControllerName(String);

/// The name of a person or a program.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserName(String);

/// A text is no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a name has 1 to 253 letters, digits, '.', '_' and '-'")]
pub struct NameError;

/// A text is no role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("of roles there are viewer, operator, capturer and admin")]
pub struct RoleError;

/// A certificate does not say who it is for, or a text is no principal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PrincipalError {
    /// It is no certificate, or its names cannot be read.
    #[error("a certificate that cannot be read")]
    Malformed,
    /// Nobody is named.
    #[error("a certificate without a URI {SCHEME}…, which would say whom it is for")]
    Nobody,
    /// More than one is named: which one is meant could not be told.
    #[error("a certificate with {0} URIs {SCHEME}…, where one says whom it is for")]
    Several(usize),
    /// None of the forms.
    #[error(
        "'{}' is none of {SCHEME}agent/NODE, {SCHEME}controller/NAME and {SCHEME}user/NAME/ROLE",
        Legible(.0)
    )]
    Form(String),
}

impl Principal {
    /// Who a certificate is for, and which one it is. Whether anybody signed it is not looked at.
    ///
    /// # Errors
    /// It does not name exactly one principal.
    pub fn of(certificate: &CertificateDer<'_>) -> Result<(Self, Fingerprint), PrincipalError> {
        let (rest, parsed) =
            X509Certificate::from_der(certificate).map_err(|_| PrincipalError::Malformed)?;
        if !rest.is_empty() {
            return Err(PrincipalError::Malformed);
        }
        let names = parsed.subject_alternative_name().map_err(|_| PrincipalError::Malformed)?;
        let mut uris = names.iter().flat_map(|names| &names.value.general_names).filter_map(uri);
        let first = uris.next().ok_or(PrincipalError::Nobody)?;
        match uris.count() {
            0 => Ok((first.parse()?, Fingerprint::of(certificate))),
            more => Err(PrincipalError::Several(more + 1)),
        }
    }

    /// The name without the kind: that of the files which its certificate is kept in.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Agent(node) => node.as_str(),
            Self::Controller(name) => name.as_str(),
            Self::User { name, .. } => name.as_str(),
        }
    }
}

/// Schemes have no case (RFC 3986 3.1), so that another spelling counts, and is then no principal.
fn uri<'a>(name: &'a GeneralName<'_>) -> Option<&'a str> {
    let GeneralName::URI(uri) = name else { return None };
    let scheme = uri.split(':').next().unwrap_or_default();
    scheme.eq_ignore_ascii_case("schism").then_some(*uri)
}

impl FromStr for Principal {
    type Err = PrincipalError;

    fn from_str(text: &str) -> Result<Self, PrincipalError> {
        let fail = || PrincipalError::Form(text.to_owned());
        let path = text.strip_prefix(SCHEME).ok_or_else(fail)?;
        let parts: Vec<&str> = path.split('/').collect();
        match parts.as_slice() {
            ["agent", node] => NodeName::new(node).map(Self::Agent).ok_or_else(fail),
            ["controller", name] => name.parse().map(Self::Controller).map_err(|_| fail()),
            ["user", name, role] => match (name.parse(), role.parse()) {
                (Ok(name), Ok(role)) => Ok(Self::User { name, role }),
                (Err(NameError), _) | (_, Err(RoleError)) => Err(fail()),
            },
            _ => Err(fail()),
        }
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(SCHEME)?;
        match self {
            Self::Agent(node) => write!(f, "agent/{node}"),
            Self::Controller(name) => write!(f, "controller/{name}"),
            Self::User { name, role } => write!(f, "user/{name}/{role}"),
        }
    }
}

impl Role {
    /// All of them, the least first.
    pub const ALL: [Self; 4] = [Self::Viewer, Self::Operator, Self::Capturer, Self::Admin];

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Capturer => "capturer",
            Self::Admin => "admin",
        }
    }
}

impl FromStr for Role {
    type Err = RoleError;

    fn from_str(text: &str) -> Result<Self, RoleError> {
        Self::ALL.into_iter().find(|role| role.as_str() == text).ok_or(RoleError)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

macro_rules! name {
    ($name:ident) => {
        impl $name {
            /// The name.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                // The letters that a node's name has need no escape in a URI, a file's name or a line.
                NodeName::new(text).map(|name| Self(name.as_str().to_owned())).ok_or(NameError)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

name!(ControllerName);
name!(UserName);

#[cfg(test)]
mod tests;
