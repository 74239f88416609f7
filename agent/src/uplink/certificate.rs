//! The certificate by which a controller knows this agent, as its files have it by now.

use std::sync::{Mutex, PoisonError};

use fault::NodeName;
use link::{Connector, Files, Fingerprint, Material, Principal};

use super::controller::ControllerError;

/// Files that are read anew for each connection: whoever replaces them need not start the agent anew.
#[derive(Debug)]
pub(super) struct Certificate {
    files: Files,
    node: NodeName,
    shown: Mutex<Shown>,
}

/// The last that could be used.
#[derive(Debug)]
struct Shown {
    connector: Connector,
    fingerprint: Fingerprint,
    /// Why the files cannot be used now, as it was told; empty where they can.
    told: String,
}

impl Certificate {
    /// Reads the files.
    ///
    /// # Errors
    /// They cannot be used, or the certificate is not this node's agent's.
    pub(super) fn load(files: &Files, node: &NodeName) -> Result<Self, ControllerError> {
        let shown = Mutex::new(read(files, node)?);
        Ok(Self { files: files.clone(), node: node.clone(), shown })
    }

    /// What dials by it. Where the files cannot be used, as while they are replaced one after the other, that is told
    /// and what they were before is shown on.
    pub(super) fn connector(&self) -> Connector {
        let read = read(&self.files, &self.node);
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        match read {
            Ok(next) => {
                if next.fingerprint != shown.fingerprint {
                    let fingerprint = next.fingerprint.short();
                    tracing::info!(%fingerprint, "the certificate was replaced: this one is shown");
                }
                *shown = next;
            }
            Err(error) => {
                let reason = error.to_string();
                if shown.told != reason {
                    tracing::warn!(%reason, "the certificate that was read before is shown on");
                    shown.told = reason;
                }
            }
        }
        shown.connector.clone()
    }
}

fn read(files: &Files, node: &NodeName) -> Result<Shown, ControllerError> {
    let material = Material::load(files)?;
    if *material.principal() != Principal::Agent(node.clone()) {
        return Err(ControllerError::Other {
            found: material.principal().clone(),
            node: node.clone(),
            certificate: files.certificate.clone(),
        });
    }
    let fingerprint = material.fingerprint();
    Ok(Shown { connector: material.connector()?, fingerprint, told: String::new() })
}
