//! Secrets that are kept in Vault, asked for before a run begins.

use std::collections::BTreeMap;
use std::time::Duration;

use experiment::model::SecretSource;
use experiment::secrets::{self, vault};
use reqwest::redirect::{Attempt, Policy};
use reqwest::{Client, RequestBuilder};
use serde_json::{Map, Value, json};

use super::request::told;
use crate::failure::{Cause, Failure};

/// How long an answer may take (30 s).
const PATIENCE: Duration = Duration::from_secs(30);
/// How much of an answer is read (1 MiB), which is what Vault keeps at most.
const MOST: usize = 1 << 20;
/// How many redirections are followed: a node that is not the active one names that one.
const REDIRECTIONS: usize = 3;

/// Reads all that these secrets keep in Vault.
///
/// # Errors
/// Vault cannot be asked, or does not have it.
pub(super) async fn read(
    attempted: &str,
    sources: &[(String, SecretSource)],
    configuration: &Map<String, Value>,
) -> Result<BTreeMap<vault::Read, Value>, Failure> {
    let reads = secrets::reads(sources);
    let mut found = BTreeMap::new();
    if reads.is_empty() {
        return Ok(found);
    }
    let failed = |reason: String| Failure::caused(Cause::Unreachable, attempted, reason);
    let access = vault::Access::read(configuration).ok_or_else(|| {
        failed("secrets in Vault need `vault_addr` in the configuration".to_owned())
    })?;
    let vault = Vault::enter(&access).await.map_err(failed)?;
    for read in reads {
        let answer = vault.get(&access.path(&read)).await.map_err(failed)?;
        let secret = access.secret(&read, &answer);
        let missing = || match &read.key {
            Some(key) => failed(format!("Vault has no `{key}` at {}", read.path)),
            None => failed(format!("Vault has nothing at {}", read.path)),
        };
        found.insert(read.clone(), secret.ok_or_else(missing)?);
    }
    Ok(found)
}

/// A Vault that has let somebody in.
struct Vault {
    client: Client,
    address: String,
    token: Option<String>,
}

impl Vault {
    async fn enter(access: &vault::Access) -> Result<Self, String> {
        let client = Client::builder()
            .timeout(PATIENCE)
            .redirect(Policy::custom(redirected))
            .build()
            .map_err(told)?;
        let address = access.address.trim_end_matches('/').to_owned();
        let mut vault = Self { client, address, token: None };
        vault.token = match &access.login {
            vault::Login::Token(token) => Some(token.clone()),
            vault::Login::AppRole { id, secret } => {
                let body = json!({"role_id": id, "secret_id": secret});
                Some(vault.login("v1/auth/approle/login", &body).await?)
            }
            vault::Login::ServiceAccount { role, token, mount } => {
                let jwt = std::fs::read_to_string(token)
                    .map_err(|error| format!("cannot read the account's token {token}: {error}"))?;
                let body = json!({"role": role, "jwt": jwt.trim()});
                Some(vault.login(&format!("v1/auth/{mount}/login"), &body).await?)
            }
            vault::Login::Nobody => None,
        };
        Ok(vault)
    }

    async fn login(&self, path: &str, body: &Value) -> Result<String, String> {
        let url = format!("{}/{path}", self.address);
        let answer = ask(self.client.post(&url).body(body.to_string())).await;
        let answer = answer.map_err(|why| format!("Vault lets nobody in at {url}: {why}"))?;
        let token = answer.pointer("/auth/client_token").and_then(Value::as_str);
        token.map(str::to_owned).ok_or_else(|| format!("Vault gave no token at {url}"))
    }

    async fn get(&self, path: &str) -> Result<Value, String> {
        let url = format!("{}/{path}", self.address);
        let mut request = self.client.get(&url);
        if let Some(token) = &self.token {
            request = request.header("X-Vault-Token", token);
        }
        ask(request).await.map_err(|why| format!("cannot read {url}: {why}"))
    }
}

/// Vault's nodes name each other. What goes to a node by TLS goes nowhere without.
fn redirected(attempt: Attempt<'_>) -> reqwest::redirect::Action {
    let was_secret = attempt.previous().iter().any(|url| url.scheme() == "https");
    if was_secret && attempt.url().scheme() != "https" {
        return attempt.error("it leads from https to http, where everybody would see the token");
    }
    if attempt.previous().len() > REDIRECTIONS {
        return attempt.error("it leads from one to another");
    }
    attempt.follow()
}

async fn ask(request: RequestBuilder) -> Result<Value, String> {
    let mut answer = request.send().await.map_err(told)?;
    let status = answer.status();
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(told)? {
        if body.len() + chunk.len() > MOST {
            return Err("the answer is too long".to_owned());
        }
        body.extend(&chunk);
    }
    let value: Option<Value> = serde_json::from_slice(&body).ok();
    if !status.is_success() {
        // What Vault says of itself, which is no secret.
        let errors = value.as_ref().and_then(|value| value.get("errors")?.as_array());
        let errors: Vec<&str> =
            errors.into_iter().flatten().filter_map(|error| error.as_str()).collect();
        let colon = if errors.is_empty() { "" } else { ": " };
        return Err(format!("the answer is {status}{colon}{}", errors.join("; ")));
    }
    value.ok_or_else(|| "the answer is no JSON".to_owned())
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Read as _, Write as _};
    use std::net::TcpListener;
    use std::sync::{Arc, Mutex};

    use super::*;

    /// Answers requests in turn with these, and keeps what it was asked.
    fn vault(answers: Vec<String>) -> (String, Arc<Mutex<Vec<String>>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (kept, own) = (Arc::clone(&asked), address.clone());
        std::thread::spawn(move || {
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let (mut head, mut length) = (String::new(), 0);
                loop {
                    let mut line = String::new();
                    reader.read_line(&mut line).unwrap();
                    if let Some(value) = line.to_lowercase().strip_prefix("content-length: ") {
                        length = value.trim().parse().unwrap();
                    }
                    head.push_str(&line);
                    if line == "\r\n" {
                        break;
                    }
                }
                let mut body = vec![0; length];
                reader.read_exact(&mut body).unwrap();
                kept.lock().unwrap().push(head + &String::from_utf8(body).unwrap());
                let answer = answer.replace("SELF", &own);
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        (address, asked)
    }

    fn ok(body: &Value) -> String {
        let body = body.to_string();
        format!(
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    }

    fn status(line: &str, location: &str, body: &str) -> String {
        format!(
            "HTTP/1.1 {line}\r\nConnection: close\r\nLocation: {location}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    }

    fn sources() -> Vec<(String, SecretSource)> {
        vec![(
            "password".to_owned(),
            SecretSource::Vault { path: "db/main".to_owned(), key: Some("password".to_owned()) },
        )]
    }

    async fn secret(configuration: Value) -> Result<Value, String> {
        let configuration = configuration.as_object().unwrap();
        let found = read("cannot run", &sources(), configuration).await;
        let found = found.map_err(|failure| failure.text())?;
        Ok(found.into_values().next().unwrap())
    }

    fn kept(value: &str) -> Value {
        json!({"data": {"data": {"password": value}}})
    }

    #[tokio::test]
    async fn a_token_a_role_and_an_account_are_let_in() {
        let token = json!({"auth": {"client_token": "t-1"}});
        let directory = tempfile::tempdir().unwrap();
        let jwt = directory.path().join("token");
        std::fs::write(&jwt, "a.b.c\n").unwrap();
        for (login, logs_in) in [
            (json!({"vault_token": "t-1"}), None),
            (
                json!({"vault_role_id": "r", "vault_role_secret": "s"}),
                Some(("POST /v1/auth/approle/login", r#"{"role_id":"r","secret_id":"s"}"#)),
            ),
            (
                json!({"vault_sa_role": "r", "vault_sa_token_path": jwt, "vault_k8s_mount_point": "k"}),
                Some(("POST /v1/auth/k/login", r#"{"role":"r","jwt":"a.b.c"}"#)),
            ),
        ] {
            let first = logs_in.map(|_| ok(&token));
            let (address, asked) = vault(first.into_iter().chain([ok(&kept("hush"))]).collect());
            let mut configuration = login.clone();
            configuration["vault_addr"] = address.into();
            assert_eq!(secret(configuration).await.unwrap(), "hush", "{login}");
            let asked = asked.lock().unwrap().clone();
            if let Some((path, body)) = logs_in {
                assert!(asked[0].starts_with(path) && asked[0].ends_with(body), "{}", asked[0]);
            }
            let last = asked.last().unwrap();
            assert!(last.starts_with("GET /v1/secret/data/db/main"), "{last}");
            assert!(last.to_lowercase().contains("x-vault-token: t-1"), "{last}");
        }
    }

    #[tokio::test]
    async fn another_node_is_followed_and_a_circle_is_not() {
        let moved = |to: &str| status("307 Temporary Redirect", to, "");
        let (address, asked) = vault(vec![moved("SELF/v1/elsewhere"), ok(&kept("hush"))]);
        let configuration = json!({"vault_addr": address, "vault_token": "t-1"});
        assert_eq!(secret(configuration).await.unwrap(), "hush");
        let last = asked.lock().unwrap()[1].to_lowercase();
        assert!(last.starts_with("get /v1/elsewhere") && last.contains("x-vault-token"), "{last}");
        let (address, _) = vault(vec![moved("SELF/v1/again"); REDIRECTIONS + 1]);
        let why = secret(json!({"vault_addr": address, "vault_token": "t-1"})).await.unwrap_err();
        assert!(why.contains("from one to another"), "{why}");
    }

    #[tokio::test]
    async fn what_vault_refuses_or_does_not_have_is_told_without_secrets() {
        let forbidden = status("403 Forbidden", "", r#"{"errors": ["permission denied"]}"#);
        for (answer, expected) in [
            (forbidden, "403 Forbidden: permission denied"),
            (ok(&json!({"data": {"data": {"other": 1}}})), "Vault has no `password` at db/main"),
            (status("200 OK", "", "<html>"), "the answer is no JSON"),
        ] {
            let (address, _) = vault(vec![answer]);
            let why =
                secret(json!({"vault_addr": address, "vault_token": "t-123"})).await.unwrap_err();
            assert!(why.contains(expected) && !why.contains("t-123"), "{why}");
        }
        let why = secret(json!({"vault_token": "t-123"})).await.unwrap_err();
        assert!(why.contains("`vault_addr`"), "{why}");
    }
}
