//! Values from the command line: `--var` and `--var-file`.

use std::str::FromStr;

use serde_json::{Map, Value};

use crate::configuration::{CoercionError, coerce};
use crate::document::{DocumentError, Node, Notation};
use crate::environment::Environment;
use crate::model::{VariableType, VariableTypeError};

/// `NAME[:TYPE]=VALUE`
#[derive(Clone, PartialEq)]
pub struct Variable {
    /// Which setting.
    pub name: String,
    /// What it is.
    pub value: Value,
}

/// Its value may be a secret, and is not shown.
impl std::fmt::Debug for Variable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Variable").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Something that is no variable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VariableError {
    /// There is no `=`.
    #[error("var needs to be in the format name[:type]=value")]
    Format,
    /// An unknown type.
    #[error(transparent)]
    Type(#[from] VariableTypeError),
    /// The value is not of its type.
    #[error("var cannot convert value to required type: {0}")]
    Value(#[from] CoercionError),
    /// A file that cannot be read.
    #[error("{}: {}", .0.at, .0.fault)]
    Document(DocumentError),
    /// A file that is not what it should be.
    #[error("a variable file has `configuration` and `secrets`, each a mapping")]
    Shape,
    /// A line of an environment file without `=`.
    #[error("line {0}: a line of an environment file is NAME=VALUE")]
    Line(usize),
}

impl FromStr for Variable {
    type Err = VariableError;

    fn from_str(text: &str) -> Result<Self, VariableError> {
        let (name, value) = text.split_once('=').ok_or(VariableError::Format)?;
        let (name, kind) = match name.rsplit_once(':') {
            Some((name, kind)) => (name, kind.parse()?),
            None => (name, VariableType::Text),
        };
        let value = coerce(kind, Value::String(value.to_owned()))?;
        Ok(Self { name: name.to_owned(), value })
    }
}

/// All that was given.
#[derive(Clone, Default, PartialEq)]
pub struct Variables {
    /// For the configuration.
    pub configuration: Map<String, Value>,
    /// For the secrets.
    pub secrets: Map<String, Value>,
}

impl Variables {
    /// Adds one of the command line. They come after all files.
    pub fn add(&mut self, variable: Variable) {
        self.configuration.insert(variable.name, variable.value);
    }

    /// Adds what a file in JSON or YAML says; later files count more.
    ///
    /// # Errors
    /// If it is not one, or not such a file.
    pub fn add_file(&mut self, text: &str, notation: Notation) -> Result<(), VariableError> {
        let value = Node::read(text, notation).map_err(VariableError::Document)?.value();
        for (key, into) in
            [("configuration", &mut self.configuration), ("secrets", &mut self.secrets)]
        {
            match value.get(key) {
                Some(Value::Object(map)) => into.extend(map.clone()),
                None | Some(Value::Null) => (),
                Some(_) => return Err(VariableError::Shape),
            }
        }
        if value.is_object() || value.is_null() { Ok(()) } else { Err(VariableError::Shape) }
    }
}

/// Sets the variables of an environment file: `NAME=VALUE` lines, blank ones and ones that begin with `#`.
///
/// # Errors
/// The first line that is none of these.
pub fn add_environment(text: &str, environment: &mut Environment) -> Result<(), VariableError> {
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, value) = line.split_once('=').ok_or(VariableError::Line(index + 1))?;
        environment.set(name, value);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn variables_have_types() {
        let value = |text: &str| text.parse::<Variable>().map(|variable| variable.value).ok();
        assert_eq!(value("a=1"), Some(json!("1")));
        assert_eq!(value("a:int=1"), Some(json!(1)));
        assert_eq!(value("a:json={\"x\": [1]}"), Some(json!({"x": [1]})));
        assert_eq!(value("a=b=c"), Some(json!("b=c")));
        assert_eq!(value("a:int=x"), None);
        assert_eq!(value("a:list=x"), None);
        assert_eq!(value("a"), None);
    }

    #[test]
    fn files_add_up() {
        let mut variables = Variables::default();
        variables.add_file("configuration: {a: 1, b: 1}", Notation::Yaml).unwrap();
        variables
            .add_file(r#"{"configuration": {"b": 2}, "secrets": {"s": {}}}"#, Notation::Json)
            .unwrap();
        assert_eq!(Value::Object(variables.configuration.clone()), json!({"a": 1, "b": 2}));
        assert_eq!(Value::Object(variables.secrets.clone()), json!({"s": {}}));
        assert_eq!(variables.add_file("[1]", Notation::Yaml), Err(VariableError::Shape));
        let mut environment = Environment::default();
        add_environment("# all\nA=1\n\n B=x=y\n", &mut environment).unwrap();
        assert_eq!((environment.get("A"), environment.get("B")), (Some("1"), Some("x=y")));
        assert_eq!(add_environment("A", &mut environment), Err(VariableError::Line(1)));
    }
}
