//! Filters.

use serde_json::{Map, Value};

use super::PathError;
use super::token::Token;
use super::tree::{Node, Parser};
use crate::tolerance::comparison::{equal, truthy};

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Expression {
    All(Vec<Expression>),
    Any(Vec<Expression>),
    Not(Box<Expression>),
    Some(Operand),
    Compare(Operand, Comparison, Operand),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Operand {
    Path(Node),
    Value(Value),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Comparison {
    Equal,
    Unequal,
    Less,
    AtMost,
    More,
    AtLeast,
}

const COMPARISONS: &[(&str, Comparison)] = &[
    ("=", Comparison::Equal),
    ("!=", Comparison::Unequal),
    ("<", Comparison::Less),
    ("<=", Comparison::AtMost),
    (">", Comparison::More),
    (">=", Comparison::AtLeast),
];

impl Parser {
    pub(super) fn expression(&mut self) -> Result<Expression, PathError> {
        let mut all = vec![self.alternatives()?];
        while self.eat("and") {
            all.push(self.alternatives()?);
        }
        Ok(if all.len() > 1 { Expression::All(all) } else { all.remove(0) })
    }

    fn alternatives(&mut self) -> Result<Expression, PathError> {
        let mut any = vec![self.single()?];
        while self.eat("or") {
            any.push(self.single()?);
        }
        Ok(if any.len() > 1 { Expression::Any(any) } else { any.remove(0) })
    }

    fn single(&mut self) -> Result<Expression, PathError> {
        if self.eat("not") {
            return Ok(Expression::Not(Box::new(self.single()?)));
        }
        if self.eat("(") {
            let inner = self.expression()?;
            self.want(")")?;
            return Ok(inner);
        }
        let left = self.operand()?;
        match COMPARISONS.iter().find(|(sign, _)| self.sees(sign)) {
            Some((sign, comparison)) => {
                self.want(sign)?;
                Ok(Expression::Compare(left, *comparison, self.operand()?))
            }
            None => Ok(Expression::Some(left)),
        }
    }

    pub(super) fn operand(&mut self) -> Result<Operand, PathError> {
        if self.sees("$") || self.sees("@") {
            return self.node().map(Operand::Path);
        }
        self.value().map(Operand::Value)
    }

    fn value(&mut self) -> Result<Value, PathError> {
        let value = match self.peek().cloned() {
            Some(Token::Sign("true")) => Value::Bool(true),
            Some(Token::Sign("false")) => Value::Bool(false),
            Some(Token::Sign("null")) => Value::Null,
            Some(Token::Text(text)) => Value::String(text),
            Some(Token::Number(digits)) => serde_json::from_str(&digits).unwrap_or_default(),
            Some(Token::Sign("[")) => return self.list(),
            Some(Token::Sign("{")) => return self.map(),
            _ => return self.expected("a value or a path"),
        };
        self.take();
        Ok(value)
    }

    fn list(&mut self) -> Result<Value, PathError> {
        self.want("[")?;
        let mut list = Vec::new();
        while !self.eat("]") {
            if !list.is_empty() {
                self.want(",")?;
            }
            list.push(self.value()?);
        }
        Ok(Value::Array(list))
    }

    fn map(&mut self) -> Result<Value, PathError> {
        self.want("{")?;
        let mut map = Map::new();
        while !self.eat("}") {
            if !map.is_empty() {
                self.want(",")?;
            }
            let Some(Token::Text(key)) = self.peek().cloned() else {
                return self.expected("a key");
            };
            self.take();
            self.want(":")?;
            map.insert(key, self.value()?);
        }
        Ok(Value::Object(map))
    }
}

impl Operand {
    pub(super) fn values(&self, whole: &Value, current: &Value) -> Result<Vec<Value>, PathError> {
        match self {
            Self::Path(node) => node.matches(whole, current),
            Self::Value(value) => Ok(vec![value.clone()]),
        }
    }
}

impl Expression {
    pub(super) fn holds(&self, whole: &Value, current: &Value) -> Result<bool, PathError> {
        match self {
            Self::All(all) => {
                for one in all {
                    if !one.holds(whole, current)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Self::Any(any) => {
                for one in any {
                    if one.holds(whole, current)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Self::Not(inner) => Ok(!inner.holds(whole, current)?),
            Self::Some(Operand::Path(node)) => Ok(!node.matches(whole, current)?.is_empty()),
            Self::Some(Operand::Value(value)) => Ok(truthy(value)),
            Self::Compare(left, comparison, right) => {
                let right = right.values(whole, current)?;
                let left = left.values(whole, current)?;
                Ok(left.iter().any(|left| right.iter().any(|right| comparison.holds(left, right))))
            }
        }
    }
}

impl Comparison {
    fn holds(self, left: &Value, right: &Value) -> bool {
        let numbers = || {
            let number = |value: &Value| {
                let truth = value.as_bool().map(|truth| f64::from(u8::from(truth)));
                truth.or_else(|| value.as_f64())
            };
            Some((number(left)?, number(right)?))
        };
        match self {
            Self::Equal => equal(left, right),
            Self::Unequal => !equal(left, right),
            Self::Less => numbers().is_some_and(|(left, right)| left < right),
            Self::AtMost => numbers().is_some_and(|(left, right)| left <= right),
            Self::More => numbers().is_some_and(|(left, right)| left > right),
            Self::AtLeast => numbers().is_some_and(|(left, right)| left >= right),
        }
    }
}
