//! Steps that were built, as a file would have them: for journals and hooks.

use serde_json::{Map, Value, json};

use super::{Activity, Lane, ProcessArguments, Provider, Verb};

impl Activity {
    /// The step as a file would have it, as far as who performs it goes.
    #[must_use]
    pub fn rendered(&self) -> Map<String, Value> {
        let mut map = Map::new();
        map.insert("type".to_owned(), self.kind.to_string().into());
        map.insert("name".to_owned(), self.name.clone().into());
        map.insert("provider".to_owned(), self.provider.rendered());
        if self.lane == Lane::Background {
            map.insert("background".to_owned(), true.into());
        }
        map
    }
}

impl Provider {
    /// The provider as a file would have it.
    #[must_use]
    pub fn rendered(&self) -> Value {
        match self {
            Self::Process(process) => {
                let arguments = match &process.arguments {
                    ProcessArguments::Words(words) => Value::Array(words.clone()),
                    ProcessArguments::Line(line) => line.as_str().into(),
                    ProcessArguments::Pairs(pairs) => Value::Object(pairs.clone()),
                };
                json!({"type": "process", "path": process.path, "arguments": arguments})
            }
            Self::Http(http) => json!({
                "type": "http",
                "url": http.url.as_str(),
                "method": http.method,
                "headers": http.headers,
                "arguments": http.arguments,
            }),
            Self::Python(python) => json!({
                "type": "python",
                "module": python.module,
                "func": python.func,
                "arguments": python.arguments,
                "secrets": python.secrets,
            }),
            Self::Schism(call) => {
                let role = if matches!(call.verb, Verb::Read(_)) { "probe" } else { "action" };
                let mut map = Map::new();
                map.insert("type".to_owned(), "schism".into());
                map.insert(role.to_owned(), call.verb.to_string().into());
                map.insert("arguments".to_owned(), Value::Object(call.arguments.clone()));
                if let Some(label) = &call.label {
                    map.insert("as".to_owned(), label.as_str().into());
                }
                Value::Object(map)
            }
        }
    }
}
