//! As whom an API server is asked at a moment. What a program says is kept until its end, or until it is refused.

use std::{
    sync::{Arc, PoisonError},
    time::SystemTime,
};

use tokio::{
    sync::Mutex,
    task::{AbortHandle, JoinHandle},
};

use crate::{
    Identity, Login, Secret,
    config::ConfigError,
    error::Cause,
    program::{Company, Credential, Program, ProgramError},
};

/// As whom one asks.
pub(crate) struct Logins {
    login: Login,
    identity: Option<Arc<Identity>>,
    kept: Mutex<Kept>,
    under_way: std::sync::Mutex<UnderWay>,
}

/// What ends a program that is being asked, also while somebody waits for it.
#[derive(Default)]
struct UnderWay {
    /// None is asked any more.
    ended: bool,
    task: Option<AbortHandle>,
}

/// What a program has said, and one that is being asked: whoever gives up waiting for it ends nothing.
#[derive(Default)]
struct Kept {
    said: Option<Arc<Credential>>,
    asking: Option<JoinHandle<Result<Credential, ProgramError>>>,
}

/// What is shown to the API server.
#[derive(Clone)]
pub(crate) struct Shown {
    token: Option<Secret>,
    said: Option<Arc<Credential>>,
    /// Where the program shows none.
    own: Option<Arc<Identity>>,
}

impl Logins {
    pub(crate) fn new(login: Login) -> Self {
        let identity = login.identity.clone().map(Arc::new);
        let (kept, under_way) = (Mutex::default(), std::sync::Mutex::default());
        Self { login, identity, kept, under_way }
    }

    /// Whether another login may be said where one is refused.
    pub(crate) const fn may_be_renewed(&self) -> bool {
        self.login.program.is_some()
    }

    /// What is shown now. Files are read anew, and a program is asked where what it said is not good any more.
    pub(crate) async fn shown(&self) -> Result<Shown, Cause> {
        let said = match &self.login.program {
            Some(program) => Some(self.said(program).await?),
            None => None,
        };
        let of_program = said.as_ref().and_then(|said| said.token.clone());
        let token = match (of_program, &self.login.token) {
            (Some(token), _) => Some(token),
            (None, Some(token)) => Some(token.reveal()?),
            (None, None) => None,
        };
        Ok(Shown { token, said, own: self.identity.clone() })
    }

    async fn said(&self, program: &Program) -> Result<Arc<Credential>, Cause> {
        let mut kept = self.kept.lock().await;
        if let Some(said) = kept.said.as_ref().filter(|said| said.is_good(SystemTime::now())) {
            return Ok(Arc::clone(said));
        }
        let asking = match kept.asking.take() {
            Some(asking) => asking,
            None => self.ask(program)?,
        };
        let asked = kept.asking.insert(asking).await;
        kept.asking = None;
        let broken = |_| Cause::Login("the program for a login broke off".to_owned());
        let said = asked.map_err(broken)?.map_err(ConfigError::from)?;
        let said = Arc::new(said);
        kept.said = Some(Arc::clone(&said));
        Ok(said)
    }

    /// Begins to ask a program.
    fn ask(
        &self,
        program: &Program,
    ) -> Result<JoinHandle<Result<Credential, ProgramError>>, Cause> {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        if under_way.ended {
            return Err(Cause::Login("the program for a login is not asked any more".to_owned()));
        }
        let program = program.clone();
        let asking = tokio::spawn(async move { program.ask(Company::here()).await });
        under_way.task = Some(asking.abort_handle());
        Ok(asking)
    }

    /// Kills a program that is being asked, and asks none any more.
    pub(crate) async fn end(&self) {
        let task = {
            let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
            under_way.ended = true;
            under_way.task.take()
        };
        if let Some(task) = task {
            task.abort();
        }
        // Whoever waits for it lets go of it by that.
        let asking = self.kept.lock().await.asking.take();
        if let Some(asking) = asking {
            // It was killed when its task is over.
            let _ = asking.await;
        }
    }

    /// Somebody was refused as this one.
    pub(crate) async fn forget(&self, shown: &Shown) {
        let mut kept = self.kept.lock().await;
        let is_it = |said: &Arc<Credential>| {
            shown.said.as_ref().is_some_and(|shown| Arc::ptr_eq(shown, said))
        };
        kept.said.take_if(|said| is_it(said));
    }
}

impl Shown {
    pub(crate) const fn token(&self) -> Option<&Secret> {
        self.token.as_ref()
    }

    pub(crate) fn identity(&self) -> Option<&Identity> {
        let of_program = self.said.as_ref().and_then(|said| said.identity.as_ref());
        of_program.or(self.own.as_deref())
    }

    /// Whether a connection that was opened as the one may be used as the other: a certificate is shown once for all
    /// that goes over it.
    pub(crate) fn is_same_end(&self, other: &Self) -> bool {
        let of_program = |one: &Self| {
            let said = one.said.as_ref().filter(|said| said.identity.is_some());
            said.map(Arc::as_ptr)
        };
        of_program(self) == of_program(other)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs::File,
        io::{BufRead as _, BufReader, Read as _},
        path::Path,
        process::Command,
        time::Duration,
    };

    use serde_json::json;
    use tokio::{task::spawn_blocking, time::timeout};

    use super::*;
    use crate::{Kubeconfig, Programs};

    /// Says that it is there, and then nothing.
    const SILENT: &str = "exec 3>\"$0\"; echo there >&3; exec sleep 60";

    fn silent(pipe: &Path) -> Login {
        let exec = json!({
            "apiVersion": "client.authentication.k8s.io/v1", "command": "sh",
            "args": ["-c", SILENT, pipe], "interactiveMode": "Never",
        });
        let file = json!({
            "current-context": "c",
            "contexts": [{ "name": "c", "context": { "cluster": "c", "user": "u" } }],
            "clusters": [{ "name": "c", "cluster": { "server": "https://10.0.0.1:6443" } }],
            "users": [{ "name": "u", "user": { "exec": exec } }],
        });
        let file: Kubeconfig = serde_json::from_value(file).unwrap();
        file.config_with(None, Path::new("/"), Programs::Run).unwrap().login
    }

    #[tokio::test]
    async fn a_program_that_is_asked_ends_with_whoever_asks() {
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("pipe");
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let logins = Arc::new(Logins::new(silent(&pipe)));
        let waiting = Arc::clone(&logins);
        let waiting = tokio::spawn(async move { waiting.shown().await.is_err() });
        let there = spawn_blocking(move || {
            let mut reader = BufReader::new(File::open(pipe).unwrap());
            let mut said = String::new();
            reader.read_line(&mut said).unwrap();
            (reader, said)
        });
        let (mut reader, said) = there.await.unwrap();
        assert_eq!(said, "there\n");
        logins.end().await;
        // The pipe ends with it.
        let gone = spawn_blocking(move || reader.read_to_string(&mut String::new()).unwrap());
        assert_eq!(timeout(Duration::from_secs(20), gone).await.unwrap().unwrap(), 0);
        assert!(waiting.await.unwrap());
        assert!(logins.shown().await.is_err(), "it is not asked again");
    }
}
