//! `schism certs` as people type it.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Subcommand, ValueEnum};
use fault::NodeName;
use link::{ControllerName, Role, ServerName, UserName};

/// `certs`.
#[derive(Debug, Args)]
pub struct CertsArgs {
    /// Where the authority is: ca.pem, ca.key and issued
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "SCHISM_CERTS_DIR",
        default_value = "/etc/schism/certs"
    )]
    pub dir: PathBuf,
    /// What to do.
    #[command(subcommand)]
    pub command: CertsCommand,
}

/// What to do with certificates.
#[derive(Debug, Subcommand)]
pub enum CertsCommand {
    /// Make an authority, which is good for ten years
    Init(InitArgs),
    /// Sign a certificate, and admit it
    ///
    /// Writes NAME.pem and NAME.key, and adds a line to `issued`, which controllers read.
    Issue(IssueArgs),
    /// Show the certificates that were issued, and whether they are admitted
    List,
    /// Stop admitting a certificate
    ///
    /// Removes its line from `issued`. Controllers refuse it from then on, and disconnect whoever is connected by it.
    Revoke(RevokeArgs),
}

/// `certs init`.
#[derive(Debug, Args)]
pub struct InitArgs {
    /// What the authority is called
    #[arg(long, default_value = "schism", value_parser = authority_name)]
    pub name: String,
}

/// `certs issue`.
#[derive(Debug, Args)]
pub struct IssueArgs {
    /// For how many days
    #[arg(long, global = true, value_name = "NUMBER", default_value = "365")]
    pub days: Days,
    /// Where NAME.pem and NAME.key are written [default: the authority's directory]
    #[arg(long, global = true, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// For whom.
    #[command(subcommand)]
    pub subject: SubjectArgs,
}

/// For whom a certificate is.
#[derive(Debug, Subcommand)]
pub enum SubjectArgs {
    /// The agent of a node
    Agent {
        /// The node's name
        #[arg(value_parser = node)]
        node: NodeName,
    },
    /// A controller
    Controller {
        /// Its name
        name: ControllerName,
        /// A DNS name or IP address at which it is dialled; several with commas or again
        #[arg(long = "host", value_name = "HOST", required = true, value_delimiter = ',')]
        hosts: Vec<Host>,
    },
    /// A person, or a program that asks for faults
    User {
        /// Its name
        name: UserName,
        /// What it may do
        #[arg(long, value_enum)]
        role: RoleArg,
    },
}

/// `--role`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RoleArg {
    /// Look
    Viewer,
    /// Ask for faults, and heal
    Operator,
    /// The same, and have packets of targets, where controller and agents allow that
    Capturer,
    /// Everything, the release of the brake included
    Admin,
}

/// `certs revoke`.
#[derive(Debug, Args)]
pub struct RevokeArgs {
    /// A name, or the beginning of a fingerprint
    #[arg(value_name = "FINGERPRINT|NAME")]
    pub what: String,
}

/// From 1 day to those of ten years.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Days(pub u16);

impl FromStr for Days {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let days = text.parse().ok().filter(|days| (1..=3650).contains(days));
        days.map(Self).ok_or("write a number of days from 1 to 3650")
    }
}

/// A DNS name or an IP address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host(pub ServerName<'static>);

impl FromStr for Host {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let name = ServerName::try_from(text.to_owned());
        name.map(Self).map_err(|_| "write a DNS name or an IP address, without a port")
    }
}

impl From<RoleArg> for Role {
    fn from(role: RoleArg) -> Self {
        match role {
            RoleArg::Viewer => Self::Viewer,
            RoleArg::Operator => Self::Operator,
            RoleArg::Capturer => Self::Capturer,
            RoleArg::Admin => Self::Admin,
        }
    }
}

fn node(text: &str) -> Result<NodeName, &'static str> {
    NodeName::new(text).ok_or("a node's name has letters, digits, '.', '_' and '-'")
}

/// X.520 allows 64 letters (ub-common-name).
fn authority_name(text: &str) -> Result<String, &'static str> {
    let short = NodeName::new(text).filter(|name| name.as_str().len() <= 64);
    short
        .map(|name| name.to_string())
        .ok_or("an authority's name has 1 to 64 letters, digits, '.', '_' and '-'")
}
