//! As whom an API server is asked at a moment. What a program says is kept until its end, or until it is refused.

use std::{sync::Arc, time::SystemTime};

use tokio::{sync::Mutex, task::JoinHandle};

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
        Self { login, identity, kept: Mutex::default() }
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
        let asking = kept.asking.get_or_insert_with(|| {
            let program = program.clone();
            tokio::spawn(async move { program.ask(Company::here()).await })
        });
        let asked = asking.await;
        kept.asking = None;
        let broken = |_| Cause::Login("the program for a login broke off".to_owned());
        let said = asked.map_err(broken)?.map_err(ConfigError::from)?;
        let said = Arc::new(said);
        kept.said = Some(Arc::clone(&said));
        Ok(said)
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
