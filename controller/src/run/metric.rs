//! The probe `metric`: a number that somebody publishes, or what it has changed by.

mod text;

use std::time::Duration;

use experiment::address;
use experiment::model::Tls;
use experiment::run::Ending;
use serde_json::{Map, Number, Value, json};

use super::reading::{Combine, MetricArguments, arguments};
use super::request::Order;

/// How long an answer may take where nobody says it (10 s).
const PATIENCE: Duration = Duration::from_secs(10);
/// How many series an error names.
const NAMED: usize = 5;

/// One series, as it was found.
#[derive(Clone, Debug, PartialEq)]
struct Series {
    /// Its name and labels, as people write them.
    name: String,
    value: f64,
}

/// Asks for a metric.
pub(super) async fn perform(given: &Map<String, Value>) -> Ending {
    match read(given).await {
        Ok(value) => Ending::Returned(value),
        Err(why) => Ending::Failed(why),
    }
}

async fn read(given: &Map<String, Value>) -> Result<Value, String> {
    let asked: MetricArguments = arguments(given)?;
    if let Some(trouble) = asked.trouble() {
        return Err(trouble);
    }
    let limit = match asked.timeout {
        Some(seconds) => Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())?,
        None => PATIENCE,
    };
    let series = match (&asked.url, &asked.prometheus) {
        (Some(url), _) => {
            let name = asked.metric.as_deref().unwrap_or_default();
            let body = answer(order(url.clone(), None, &asked, limit)).await?;
            let text = body.as_str().map_or_else(|| body.to_string(), str::to_owned);
            text::series(&text, name, &asked.labels)?
        }
        (None, Some(address)) => {
            let url = format!("{}/api/v1/query", address.trim_end_matches('/'));
            let query = json!({"query": asked.query});
            vector(&answer(order(url, Some(query), &asked, limit)).await?)?
        }
        (None, None) => Vec::new(),
    };
    let value = combined(&series, asked.combine)?;
    let change = match &asked.since {
        None | Some(Value::Null) => value,
        Some(since) => {
            let before = since.as_f64();
            value - before.ok_or_else(|| format!("`since` is no number: {since}"))?
        }
    };
    number(change)
}

fn order(url: String, arguments: Option<Value>, asked: &MetricArguments, limit: Duration) -> Order {
    Order {
        url,
        method: "GET".to_owned(),
        headers: asked.headers.clone(),
        arguments,
        timeout: (Some(limit), Some(limit)),
        tls: Tls::Verified,
        retries: 0,
    }
}

async fn answer(order: Order) -> Result<Value, String> {
    let (url, limit) = (address::shown(&order.url), order.timeout.1.unwrap_or(PATIENCE));
    let asked = tokio::time::timeout(limit, order.perform()).await;
    let value = match asked {
        Ok(Ending::Returned(value)) => value,
        Ok(Ending::Failed(why) | Ending::Crashed(why) | Ending::Interrupted(why)) => {
            return Err(format!("{url}: {why}"));
        }
        Ok(Ending::Untried) => return Err(format!("{url}: nobody asked")),
        Err(_) => return Err(format!("{url} did not answer within {} s", limit.as_secs_f64())),
    };
    let body = value.get("body").cloned().unwrap_or_default();
    match value.get("status").and_then(Value::as_u64) {
        Some(200) => Ok(body),
        status => {
            let error = body.get("error").and_then(Value::as_str).unwrap_or_default();
            let status = status.unwrap_or_default();
            Err(format!("{url} answers {status} {error}").trim_end().to_owned())
        }
    }
}

/// What a server answered to PromQL.
fn vector(body: &Value) -> Result<Vec<Series>, String> {
    let sample = |name: String, pair: &Value| {
        let text = pair.get(1).and_then(Value::as_str);
        let value = text.and_then(|text| text.parse().ok());
        value.map(|value| Series { name, value }).ok_or_else(|| format!("no sample: {pair}"))
    };
    let data = body.get("data").ok_or("the answer is not one of Prometheus")?;
    let result = data.get("result").unwrap_or(&Value::Null);
    match (data.get("resultType").and_then(Value::as_str), result) {
        (Some("scalar"), pair) => Ok(vec![sample("scalar".to_owned(), pair)?]),
        (Some("vector"), Value::Array(list)) => {
            let one = |found: &Value| {
                let labels = found.get("metric").map(Value::to_string).unwrap_or_default();
                sample(labels, found.get("value").unwrap_or(&Value::Null))
            };
            list.iter().map(one).collect()
        }
        (kind, _) => Err(format!("the query comes to a {}, not to numbers", kind.unwrap_or("?"))),
    }
}

fn combined(series: &[Series], combine: Option<Combine>) -> Result<f64, String> {
    let values = series.iter().map(|one| one.value);
    match (combine, series) {
        (Some(Combine::Count), _) => {
            Ok(u32::try_from(series.len()).map_or(f64::INFINITY, f64::from))
        }
        (_, []) => Err("there is no such series".to_owned()),
        (Some(Combine::Sum), _) => Ok(values.sum()),
        (Some(Combine::Max), _) => Ok(values.fold(f64::NEG_INFINITY, f64::max)),
        (Some(Combine::Min), _) => Ok(values.fold(f64::INFINITY, f64::min)),
        (None, [one]) => Ok(one.value),
        (None, several) => {
            let names: Vec<&str> =
                several.iter().take(NAMED).map(|series| series.name.as_str()).collect();
            Err(format!(
                "{} series match: {}; say more `labels`, or `combine` them by sum, max, min or count",
                several.len(),
                names.join(", ")
            ))
        }
    }
}

/// A whole number stays one, so that a tolerance may be written as one.
fn number(value: f64) -> Result<Value, String> {
    /// Up to here every whole number is exact.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if value.fract() == 0.0 && value.abs() < EXACT {
        // Its text is that of a whole number.
        let whole: Result<i64, _> = format!("{value:.0}").parse();
        return whole.map(Value::from).map_err(|error| error.to_string());
    }
    Number::from_f64(value).map(Value::Number).ok_or_else(|| format!("{value} is no number"))
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use super::*;

    /// Answers every request with this.
    fn serve(kind: &'static str, body: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut asked = vec![0; 8192];
                let count = stream.read(&mut asked).unwrap();
                let asked = String::from_utf8_lossy(&asked[..count]).into_owned();
                let status = if asked.contains("missing") { "404 Not Found" } else { "200 OK" };
                let length = body.len();
                let answer = format!(
                    "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nConnection: close\r\n\
                     Content-Length: {length}\r\n\r\n{body}"
                );
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        address
    }

    async fn found(arguments: Value) -> Result<Value, String> {
        read(arguments.as_object().unwrap()).await
    }

    #[tokio::test]
    async fn a_series_is_read_by_name_and_labels_as_a_value_or_a_change() {
        let url = serve(
            "text/plain",
            "# HELP r R\nr{code=\"200\",m=\"a\"} 5\nr{code=\"500\",m=\"a\"} 2\nup 1\nhalf 0.5\n",
        );
        let of = |more: Value| {
            let mut arguments = json!({"url": url});
            arguments.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            arguments
        };
        for (arguments, expected) in [
            (of(json!({"metric": "up"})), json!(1)),
            (of(json!({"metric": "half"})), json!(0.5)),
            (of(json!({"metric": "r", "labels": {"code": "500"}})), json!(2)),
            (of(json!({"metric": "r", "combine": "sum"})), json!(7)),
            (of(json!({"metric": "r", "combine": "max"})), json!(5)),
            (of(json!({"metric": "r", "combine": "min"})), json!(2)),
            (of(json!({"metric": "r", "combine": "count"})), json!(2)),
            (of(json!({"metric": "gone", "combine": "count"})), json!(0)),
            (of(json!({"metric": "r", "combine": "sum", "since": 3})), json!(4)),
        ] {
            assert_eq!(found(arguments.clone()).await, Ok(expected), "{arguments}");
        }
        for (arguments, expected) in [
            (of(json!({"metric": "gone"})), "no such series"),
            (of(json!({"metric": "r"})), "2 series match: r{code=\"200\",m=\"a\"}, "),
            (of(json!({"metric": "up", "since": "x"})), "`since` is no number"),
            (of(json!({})), "`metric` is missing"),
            (of(json!({"metric": "up", "lables": {}})), "unknown field `lables`"),
            (json!({"url": format!("{url}/missing"), "metric": "up"}), "answers 404"),
            (json!({}), "is missing"),
        ] {
            let why = found(arguments.clone()).await.unwrap_err();
            assert!(why.contains(expected), "{arguments}: {why}");
        }
    }

    #[tokio::test]
    async fn promql_is_asked_over_http() {
        let body = r#"{"status":"success","data":{"resultType":"vector","result":[
            {"metric":{"pod":"a"},"value":[1,"2.5"]},{"metric":{"pod":"b"},"value":[1,"4"]}]}}"#;
        let address = serve("application/json", body);
        let asked = |more: Value| {
            let mut arguments = json!({"prometheus": address, "query": "sum(rate(x[1m]))"});
            arguments.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            arguments
        };
        assert_eq!(found(asked(json!({"combine": "sum"}))).await, Ok(json!(6.5)));
        let why = found(asked(json!({}))).await.unwrap_err();
        assert!(why.contains("2 series match: {\"pod\":\"a\"}"), "{why}");
        let scalar =
            serve("application/json", r#"{"data":{"resultType":"scalar","result":[1,"3"]}}"#);
        let one = json!({"prometheus": scalar, "query": "3"});
        assert_eq!(found(one).await, Ok(json!(3)));
        let nan =
            serve("application/json", r#"{"data":{"resultType":"scalar","result":[1,"NaN"]}}"#);
        let why = found(json!({"prometheus": nan, "query": "0/0"})).await.unwrap_err();
        assert!(why.contains("is no number"), "{why}");
    }
}
