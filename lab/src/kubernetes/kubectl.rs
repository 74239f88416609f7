//! `kubectl`, as the administrator of a cluster.

use std::{
    env,
    ffi::OsStr,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use serde_json::Value;

use super::{KubernetesError, components::Components, machine::COLLECTING};
use crate::netns::Namespace;

/// Where and as whom `kubectl` is run.
#[derive(Clone, Debug)]
pub struct Kubectl {
    namespace: Namespace,
    components: Components,
    settings: PathBuf,
    cache: PathBuf,
}

impl Kubectl {
    pub(super) fn new(
        namespace: &Namespace,
        components: &Components,
        settings: &Path,
        cache: &Path,
    ) -> Self {
        let (namespace, components) = (namespace.clone(), components.clone());
        Self { namespace, components, settings: settings.to_owned(), cache: cache.to_owned() }
    }

    pub(super) fn with_settings(&self, settings: &Path) -> Self {
        Self { settings: settings.to_owned(), ..self.clone() }
    }

    /// The same, for which another namespace is the one that is meant where none is said.
    ///
    /// # Errors
    /// Its settings can't be read, or there is no room for others.
    pub fn within(&self, namespace: &str) -> Result<Self, KubernetesError> {
        let failed = || KubernetesError::file(&self.settings);
        let text = fs::read(&self.settings).map_err(failed())?;
        let mut settings: Value =
            serde_json::from_slice(&text).map_err(|error| failed()(error.into()))?;
        settings["contexts"][0]["context"]["namespace"] = namespace.into();
        let name = self.settings.file_stem().unwrap_or_default().to_string_lossy();
        let path = self.settings.with_file_name(format!("{name}-in-{namespace}.conf"));
        fs::write(&path, settings.to_string()).map_err(KubernetesError::file(&path))?;
        Ok(self.with_settings(&path))
    }

    /// Where it asks from.
    pub(super) fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// A command of any kind in the control plane's network, for which `kubectl` is in PATH and means this
    /// cluster.
    #[must_use]
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.namespace.path().display())).arg("--").arg(program);
        let inherited = env::var_os("PATH").unwrap_or_default();
        let all = [self.components.directory().to_owned()];
        if let Ok(path) = env::join_paths(all.into_iter().chain(env::split_paths(&inherited))) {
            command.env("PATH", path);
        }
        command.env("KUBECONFIG", &self.settings).env("KUBECACHEDIR", &self.cache);
        command.env(COLLECTING.0, COLLECTING.1);
        command
    }

    /// `kubectl` with arguments that are parted by spaces, to its end: what it printed.
    ///
    /// # Errors
    /// It ended with anything but success; what it said is in the error.
    pub fn run(&self, line: &str) -> Result<String, KubernetesError> {
        self.run_with(&line.split_whitespace().collect::<Vec<_>>())
    }

    /// `kubectl` with these arguments, to its end: what it printed.
    ///
    /// # Errors
    /// As there.
    pub fn run_with(&self, arguments: &[&str]) -> Result<String, KubernetesError> {
        let mut command = self.command("kubectl");
        let output = command.args(arguments).stdin(Stdio::null()).output();
        self.finish(&arguments.join(" "), output)
    }

    /// Creates or changes objects; the text is YAML or JSON.
    ///
    /// # Errors
    /// As there.
    pub fn apply(&self, objects: &str) -> Result<String, KubernetesError> {
        self.give("apply -f -", objects)
    }

    /// Deletes objects that are there and waits until they are gone; the text is YAML or JSON.
    ///
    /// # Errors
    /// As there.
    pub fn delete(&self, objects: &str) -> Result<String, KubernetesError> {
        self.give("delete --ignore-not-found --wait=true --timeout=120s -f -", objects)
    }

    /// The pod that holds a Lease, as whoever leads among several names itself: `POD_NUMBER`. `None` where nobody does.
    ///
    /// # Errors
    /// As there; there may be no such Lease yet.
    pub fn leader(&self, namespace: &str, lease: &str) -> Result<Option<String>, KubernetesError> {
        let holder = "jsonpath={.spec.holderIdentity}";
        let holder = self.run_with(&["-n", namespace, "get", "lease", lease, "-o", holder])?;
        Ok(holder.rsplit_once('_').map(|(pod, _)| pod.to_owned()))
    }

    fn give(&self, line: &str, objects: &str) -> Result<String, KubernetesError> {
        let mut command = self.command("kubectl");
        command.args(line.split(' '));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let output = command.spawn().and_then(|mut child| {
            if let Some(mut stdin) = child.stdin.take() {
                stdin.write_all(objects.as_bytes())?;
            }
            child.wait_with_output()
        });
        self.finish(line, output)
    }

    fn finish(
        &self,
        line: &str,
        output: std::io::Result<Output>,
    ) -> Result<String, KubernetesError> {
        let failed = |said: String| KubernetesError::Kubectl { line: line.to_owned(), said };
        let output = output.map_err(|error| failed(error.to_string()))?;
        if !output.status.success() {
            return Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}
