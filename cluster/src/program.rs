//! A program of the user's that says as whom an API server is asked, as kubeconfigs name it
//! (client.authentication.k8s.io, v1 and v1beta1).

mod answer;

use std::{
    io::IsTerminal as _,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{io::AsyncReadExt as _, process::Command, time::timeout};

use crate::{Secret, config::ConfigError};

pub(crate) use answer::Credential;

/// What the program is told beside its arguments.
const INFO: &str = "KUBERNETES_EXEC_INFO";

/// How long it may take where nobody sits there (1 min), and where somebody may have to log in (5 min).
const ALONE: Duration = Duration::from_secs(60);
const WITH_SOMEBODY: Duration = Duration::from_secs(300);

/// No answer is longer (1 MiB).
const LONGEST: u64 = 1 << 20;

/// In which version it speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(crate) enum Version {
    #[serde(rename = "client.authentication.k8s.io/v1")]
    V1,
    #[serde(rename = "client.authentication.k8s.io/v1beta1")]
    V1Beta1,
}

/// Whether it may ask whoever sits there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(crate) enum Interaction {
    Never,
    IfAvailable,
    Always,
}

/// Which program it is, and how it is started. It is run by whoever asks an API server with it, and by nobody before.
#[derive(Clone, Debug)]
pub struct Program {
    version: Version,
    /// As it was written; a path is one of this machine.
    command: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(String, Secret)>,
    interaction: Interaction,
    /// What to do where it is not there.
    hint: Option<String>,
    /// Of which cluster it is, where it wants to know.
    cluster: Option<Value>,
}

/// Why a program gives no login. What it said is not repeated: it may be a secret.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProgramError {
    #[error("cannot run {program} for a login: {source}{}", behind(.hint.as_deref()))]
    Start { program: String, source: std::io::Error, hint: Option<String> },
    #[error(
        "{0} has to ask somebody for a login (interactiveMode: Always), and there is no terminal"
    )]
    NoTerminal(String),
    #[error("{program} gives no login: {status}")]
    Failed { program: String, status: std::process::ExitStatus },
    #[error("{program} gives no login within {} s", limit.as_secs())]
    Late { program: String, limit: Duration },
    #[error("{program} gives no login: {reason}")]
    Answer { program: String, reason: &'static str },
}

/// The entry of a kubeconfig.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Entry {
    api_version: Version,
    command: PathBuf,
    // What is left out, and what is null.
    #[serde(default)]
    args: Option<Vec<String>>,
    #[serde(default)]
    env: Option<Vec<Variable>>,
    #[serde(default)]
    install_hint: Option<String>,
    #[serde(default)]
    interactive_mode: Option<Interaction>,
    #[serde(default)]
    provide_cluster_info: bool,
}

#[derive(Debug, Deserialize)]
struct Variable {
    name: String,
    value: Secret,
}

impl Entry {
    /// Which program it is: a path begins at `directory`, a bare name is looked for in PATH. `cluster` says of which
    /// cluster it is.
    pub(crate) fn program(self, directory: &Path, cluster: impl FnOnce() -> Value) -> Program {
        let is_path = self.command.components().count() > 1;
        let variables = self.env.unwrap_or_default().into_iter();
        Program {
            version: self.api_version,
            command: if is_path { directory.join(&self.command) } else { self.command },
            arguments: self.args.unwrap_or_default(),
            environment: variables.map(|variable| (variable.name, variable.value)).collect(),
            interaction: self.interactive_mode.unwrap_or(Interaction::IfAvailable),
            hint: self.install_hint.filter(|hint| !hint.trim().is_empty()),
            cluster: self.provide_cluster_info.then(cluster),
        }
    }
}

/// Who sits there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Company {
    Nobody,
    Somebody,
}

impl Company {
    /// Of this process.
    pub(crate) fn here() -> Self {
        if std::io::stdin().is_terminal() { Self::Somebody } else { Self::Nobody }
    }
}

impl Program {
    /// What it says now.
    pub(crate) async fn ask(&self, company: Company) -> Result<Credential, ProgramError> {
        let program = || plain(&self.command.display().to_string());
        let company = match (self.interaction, company) {
            (Interaction::Always, Company::Nobody) => {
                return Err(ProgramError::NoTerminal(program()));
            }
            (Interaction::Never, _) | (_, Company::Nobody) => Company::Nobody,
            (Interaction::IfAvailable | Interaction::Always, Company::Somebody) => {
                Company::Somebody
            }
        };
        let limit = match company {
            Company::Nobody => ALONE,
            Company::Somebody => WITH_SOMEBODY,
        };
        let late = |_| ProgramError::Late { program: program(), limit };
        let said = timeout(limit, self.run(company)).await.map_err(late)??;
        let refused = |reason| ProgramError::Answer { program: program(), reason };
        Credential::read(self.version, &said).map_err(refused)
    }

    async fn run(&self, company: Company) -> Result<Vec<u8>, ProgramError> {
        let program = || plain(&self.command.display().to_string());
        let failed = |source| ProgramError::Start {
            program: program(),
            source,
            hint: self.hint.as_deref().map(plain),
        };
        let mut command = Command::new(&self.command);
        command.args(&self.arguments).env(INFO, self.info(company).to_string());
        for (name, value) in &self.environment {
            command.env(name, value.reveal());
        }
        // What it says to whoever sits there, it says itself; otherwise it is for nobody.
        let (stdin, stderr) = match company {
            Company::Nobody => (Stdio::null(), Stdio::null()),
            Company::Somebody => (Stdio::inherit(), Stdio::inherit()),
        };
        command.stdin(stdin).stderr(stderr).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().map_err(failed)?;
        let mut said = Vec::new();
        if let Some(stdout) = child.stdout.take() {
            stdout.take(LONGEST + 1).read_to_end(&mut said).await.map_err(failed)?;
        }
        if u64::try_from(said.len()).is_ok_and(|length| length > LONGEST) {
            let reason = "it says more than a login is long";
            return Err(ProgramError::Answer { program: program(), reason });
        }
        let status = child.wait().await.map_err(failed)?;
        if status.success() {
            Ok(said)
        } else {
            Err(ProgramError::Failed { program: program(), status })
        }
    }

    /// What it is told: `ExecCredential`, with the cluster where it wants to know.
    fn info(&self, company: Company) -> Value {
        let mut spec = json!({ "interactive": company == Company::Somebody });
        if let Some(cluster) = &self.cluster {
            spec["cluster"] = cluster.clone();
        }
        json!({ "apiVersion": self.version.word(), "kind": "ExecCredential", "spec": spec })
    }
}

impl Version {
    const fn word(self) -> &'static str {
        match self {
            Self::V1 => "client.authentication.k8s.io/v1",
            Self::V1Beta1 => "client.authentication.k8s.io/v1beta1",
        }
    }
}

fn behind(hint: Option<&str>) -> String {
    hint.map_or_else(String::new, |hint| format!("; {hint}"))
}

/// A text of somebody else's on one line.
fn plain(text: &str) -> String {
    text.split_whitespace()
        .map(|word| word.escape_debug().to_string())
        .collect::<Vec<_>>()
        .join(" ")
}

impl From<ProgramError> for ConfigError {
    fn from(error: ProgramError) -> Self {
        Self::Program(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A program that is a script.
    fn script(directory: &Path, more: &Value, text: &str) -> Program {
        let mut entry = json!({
            "apiVersion": "client.authentication.k8s.io/v1", "command": "sh",
            "args": ["-c", text, "login", "one", "two words"],
            "env": [{ "name": "WHO", "value": "ann" }], "installHint": "get it\nsomewhere",
            "interactiveMode": "IfAvailable", "provideClusterInfo": true,
        });
        entry.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let entry: Entry = serde_json::from_value(entry).unwrap();
        entry.program(directory, || json!({ "server": "https://10.0.0.1:6443" }))
    }

    #[tokio::test]
    async fn a_program_is_told_who_asks_and_says_a_login() {
        let directory = tempfile::tempdir().unwrap();
        let text = "echo \"$1-$2-$WHO\" >heard; echo \"$KUBERNETES_EXEC_INFO\" >>heard\n\
             echo 'log in, please' >&2\n\
             echo '{\"apiVersion\": \"client.authentication.k8s.io/v1\", \"kind\": \"ExecCredential\", \
             \"status\": {\"token\": \"word\"}}'";
        let heard = directory.path().join("heard");
        let text = text.replace("heard", heard.to_str().unwrap());
        let program = script(directory.path(), &json!({}), &text);
        let credential = program.ask(Company::Nobody).await.unwrap();
        assert_eq!(credential.token.unwrap().reveal(), "word");
        let heard = fs::read_to_string(heard).unwrap();
        let (words, info) = heard.split_once('\n').unwrap();
        assert_eq!(words, "one-two words-ann");
        let info: Value = serde_json::from_str(info).unwrap();
        let expected = json!({
            "apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential",
            "spec": { "interactive": false, "cluster": { "server": "https://10.0.0.1:6443" } },
        });
        assert_eq!(info, expected);
    }

    #[tokio::test]
    async fn nothing_that_a_program_says_is_repeated() {
        let directory = tempfile::tempdir().unwrap();
        let ask = async |more: &Value, text: &str| {
            let program = script(directory.path(), more, text);
            program.ask(Company::Nobody).await.unwrap_err().to_string()
        };
        let failed = ask(&json!({}), "echo hunter2; echo hunter2 >&2; exit 3").await;
        assert!(failed.contains("exit status: 3") && !failed.contains("hunter2"), "{failed}");
        let nonsense = ask(&json!({}), "echo '{\"status\": \"hunter2\"}'").await;
        assert!(nonsense.contains("login") && !nonsense.contains("hunter2"), "{nonsense}");
        let flood = ask(&json!({}), "head -c 2000000 /dev/zero").await;
        assert!(flood.contains("more than a login is long"), "{flood}");
        let alone = ask(&json!({ "interactiveMode": "Always" }), "exit 0").await;
        assert!(alone.contains("there is no terminal"), "{alone}");
        let absent = ask(&json!({ "command": "./no\nthing" }), "exit 0").await;
        assert!(absent.contains("; get it somewhere"), "{absent}");
    }

    #[test]
    fn a_bare_name_is_looked_for_in_the_path_and_a_path_begins_at_the_file() {
        let of = |command: &str| {
            let entry = json!({
                "apiVersion": "client.authentication.k8s.io/v1beta1", "command": command,
                "args": null, "env": null, "installHint": " ",
            });
            let entry: Entry = serde_json::from_value(entry).unwrap();
            entry.program(Path::new("/home/me/.kube"), || panic!("nobody wants to know"))
        };
        for (command, expected) in [
            ("aws", "aws"),
            ("bin/login", "/home/me/.kube/bin/login"),
            ("/bin/login", "/bin/login"),
        ] {
            let program = of(command);
            assert_eq!(program.command, Path::new(expected));
            assert_eq!((program.hint, program.cluster), (None, None));
            assert_eq!(program.interaction, Interaction::IfAvailable);
        }
        let other = json!({ "apiVersion": "client.authentication.k8s.io/v2", "command": "x" });
        assert!(serde_json::from_value::<Entry>(other).is_err());
    }
}
