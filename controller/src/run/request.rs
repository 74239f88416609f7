//! Requests that steps make.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use experiment::address;
use experiment::model::Tls;
use experiment::run::Ending;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::{Map, Value, json};

/// How much of a body is read (16 MiB).
const MOST: usize = 16 << 20;

/// The kind of body that is read as values, and written as such. As in the original, one with parameters behind it
/// (`; charset=utf-8`) is text: tolerances are written for that.
const JSON: &str = "application/json";

/// On what terms somebody is asked: times to connect and to wait for bytes, and whether anything may pass for a
/// certificate.
type Manner = (Option<Duration>, Option<Duration>, bool);

/// Clients by their terms. To make one is to read all roots of trust, some milliseconds.
static CLIENTS: LazyLock<Mutex<HashMap<Manner, Client>>> = LazyLock::new(Mutex::default);

/// What is asked of whom.
pub(super) struct Order {
    pub(super) url: String,
    pub(super) method: String,
    pub(super) headers: Map<String, Value>,
    pub(super) arguments: Option<Value>,
    /// To connect, and to wait for bytes.
    pub(super) timeout: (Option<Duration>, Option<Duration>),
    pub(super) tls: Tls,
    pub(super) retries: u32,
}

impl Order {
    /// Asks, and takes whatever is answered.
    pub(super) async fn perform(&self) -> Ending {
        let client = match self.client() {
            Ok(client) => client,
            Err(error) => return Ending::Failed(told(error)),
        };
        let request = match self.request(&client) {
            Ok(request) => request,
            Err(why) => return Ending::Crashed(why),
        };
        let mut tries = 0;
        loop {
            let Some(again) = request.try_clone() else {
                return Ending::Crashed("the request cannot be made".to_owned());
            };
            match again.send().await {
                Ok(answer) => return read(answer).await,
                Err(error) if error.is_connect() && tries < self.retries => tries += 1,
                Err(error) if error.is_timeout() => {
                    return Ending::Failed("activity took too long to complete".to_owned());
                }
                // An address that is none is the file's fault and nobody's answer.
                Err(error) if error.is_builder() || error.is_redirect() => {
                    return Ending::Crashed(self.told(error));
                }
                Err(error) => return Ending::Failed(self.told(error)),
            }
        }
    }

    /// With the address as it was given, as far as anybody may see it: a secret in it is known again.
    fn told(&self, error: reqwest::Error) -> String {
        format!("{}: {}", address::shown(&self.url), told(error))
    }

    fn client(&self) -> reqwest::Result<Client> {
        let ((connect, wait), careless) = (self.timeout, self.tls == Tls::Unverified);
        let mut clients = CLIENTS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&(connect, wait, careless)) {
            return Ok(client.clone());
        }
        let mut builder = Client::builder()
            .user_agent(concat!("schism/", env!("CARGO_PKG_VERSION")))
            .danger_accept_invalid_certs(careless)
            // A probe asks whether somebody takes a connection now, as the original does: none outlives its request.
            .pool_max_idle_per_host(0)
            .tcp_keepalive(None)
            // Either of these turns it on again, for a first word after two hours.
            .tcp_keepalive_interval(None)
            .tcp_keepalive_retries(None);
        if let Some(limit) = connect {
            builder = builder.connect_timeout(limit);
        }
        if let Some(limit) = wait {
            builder = builder.read_timeout(limit);
        }
        let client = builder.build()?;
        clients.insert((connect, wait, careless), client.clone());
        Ok(client)
    }

    fn request(&self, client: &Client) -> Result<RequestBuilder, String> {
        let method =
            Method::from_bytes(self.method.as_bytes()).map_err(|error| error.to_string())?;
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            let name: HeaderName = name.parse().map_err(|_| format!("no header: {name}"))?;
            let value = HeaderValue::from_str(&worded(value));
            headers.insert(name, value.map_err(|_| "no value of a header".to_owned())?);
        }
        let is_get = method == Method::GET;
        let is_json = headers
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|kind| kind == JSON);
        let request = client.request(method, &self.url).headers(headers);
        Ok(match &self.arguments {
            None => request,
            Some(arguments) if is_get => request.query(&pairs(arguments)),
            Some(arguments) if is_json => request.body(arguments.to_string()),
            Some(Value::String(text)) => request.body(text.clone()),
            Some(arguments) => request.form(&pairs(arguments)),
        })
    }
}

/// Names and values, several of a name for a list.
fn pairs(arguments: &Value) -> Vec<(String, String)> {
    let Value::Object(map) = arguments else { return Vec::new() };
    let each = |(name, value): (&String, &Value)| -> Vec<(String, String)> {
        match value {
            Value::Array(list) => list.iter().map(|one| (name.clone(), worded(one))).collect(),
            Value::Null => Vec::new(),
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
                vec![(name.clone(), worded(value))]
            }
        }
    };
    map.iter().flat_map(each).collect()
}

fn worded(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            value.to_string()
        }
    }
}

/// An error with all that it comes from, since its own words say little; without the address, in which a secret
/// may be written otherwise.
pub(super) fn told(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(inner) = cause {
        text.push_str(&format!(": {inner}"));
        cause = inner.source();
    }
    text
}

async fn read(mut answer: Response) -> Ending {
    let status = answer.status().as_u16();
    let is_json = answer
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|kind| kind == JSON);
    let headers: Map<String, Value> = answer
        .headers()
        .iter()
        .map(|(name, value)| {
            (
                name.to_string(),
                Value::String(String::from_utf8_lossy(value.as_bytes()).into_owned()),
            )
        })
        .collect();
    let mut body = Vec::new();
    loop {
        match answer.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() > MOST => {
                return Ending::Failed(format!("the body has more than {} MiB", MOST >> 20));
            }
            Ok(Some(chunk)) => body.extend(&chunk),
            Ok(None) => break,
            Err(error) if error.is_timeout() => {
                return Ending::Failed("activity took too long to complete".to_owned());
            }
            Err(error) => return Ending::Failed(told(error)),
        }
    }
    let text = String::from_utf8_lossy(&body).into_owned();
    let body = match is_json {
        true => serde_json::from_slice(&body).unwrap_or(Value::String(text)),
        false => Value::String(text),
    };
    Ending::Returned(json!({"status": status, "headers": headers, "body": body}))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    fn order(url: &str) -> Order {
        Order {
            url: url.to_owned(),
            method: "GET".to_owned(),
            headers: Map::new(),
            arguments: None,
            timeout: (None, None),
            tls: Tls::Verified,
            retries: 0,
        }
    }

    /// Answers one request with this type of body.
    async fn answered(kind: &str) -> Value {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: 8\r\n\r\n{{\"a\": 1}}"
        );
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut some = [0; 1024];
            assert!(stream.read(&mut some).await.unwrap() > 0);
            stream.write_all(answer.as_bytes()).await.unwrap();
        });
        let ending = order(&url).perform().await;
        server.await.unwrap();
        let Ending::Returned(value) = ending else { panic!("{ending:?}") };
        value["body"].clone()
    }

    #[tokio::test]
    async fn a_body_is_values_only_where_its_type_says_no_more() {
        assert_eq!(answered("application/json").await, json!({"a": 1}));
        assert_eq!(answered("application/json; charset=utf-8").await, json!("{\"a\": 1}"));
    }

    #[tokio::test]
    async fn an_address_that_is_none_is_another_thing_than_nobody_there() {
        let none = order("nope").perform().await;
        assert!(matches!(none, Ending::Crashed(_)), "{none:?}");
        // Bound, and closed again: nobody listens there.
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let url = format!("http://{address}/");
        let nobody = order(&url).perform().await;
        assert!(matches!(nobody, Ending::Failed(ref why) if why.starts_with(&url)), "{nobody:?}");
        // What is in the query was written otherwise than it was given: a secret would not be known in it.
        let asking = Order { arguments: Some(json!({"token": "hunter=2/3+4"})), ..order(&url) };
        let Ending::Failed(why) = asking.perform().await else { panic!("somebody answers") };
        assert!(!why.contains("hunter"), "{why}");
        let known = order(&format!("http://user:hunter2@{address}/x?token=hunter2"));
        let Ending::Failed(why) = known.perform().await else { panic!("somebody answers") };
        assert!(why.starts_with(&format!("{url}x: ")) && !why.contains("hunter"), "{why}");
    }
}
