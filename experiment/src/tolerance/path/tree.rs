//! What a path means: subscripts one after the other.

use serde_json::Value;

use super::expression::{Expression, Operand};
use super::token::{Token, split};
use super::{MOST, PathError};

/// From where a path goes, and how.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    root: Root,
    steps: Vec<Step>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Root {
    /// `$`
    Whole,
    /// `@`
    Current,
}

#[derive(Clone, Debug, PartialEq)]
struct Step {
    depth: Depth,
    subscripts: Vec<Subscript>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Depth {
    Here,
    /// `..`: here and in everything below.
    Below,
}

#[derive(Clone, Debug, PartialEq)]
enum Subscript {
    Key(String),
    Index(i64),
    Slice(Option<i64>, Option<i64>, Option<i64>),
    All,
    Filter(Expression),
    Computed(Node),
    Call(Function, Vec<Operand>),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Function {
    CharAt,
    Entries,
    Keys,
    Length,
    Substring,
    Values,
}

impl Function {
    fn named(name: &str) -> Result<Self, PathError> {
        Ok(match name {
            "charAt" => Self::CharAt,
            "entries" => Self::Entries,
            "keys" => Self::Keys,
            "length" => Self::Length,
            "substring" => Self::Substring,
            "values" => Self::Values,
            _ => return Err(PathError::Function(name.to_owned())),
        })
    }
}

pub(super) fn read(text: &str) -> Result<Node, PathError> {
    let mut parser = Parser { tokens: split(text)?, next: 0, end: text.chars().count() + 1 };
    if parser.peek() != Some(&Token::Sign("$")) {
        return parser.expected("`$`");
    }
    let node = parser.node()?;
    if parser.peek().is_some() { parser.expected("the end of the path") } else { Ok(node) }
}

pub(super) struct Parser {
    tokens: Vec<(usize, Token)>,
    next: usize,
    end: usize,
}

impl Parser {
    pub(super) fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.next).map(|(_, token)| token)
    }

    pub(super) fn sees(&self, sign: &'static str) -> bool {
        self.peek() == Some(&Token::Sign(sign))
    }

    pub(super) fn eat(&mut self, sign: &'static str) -> bool {
        let is = self.sees(sign);
        self.next += usize::from(is);
        is
    }

    pub(super) fn take(&mut self) -> Option<Token> {
        let token = self.peek().cloned();
        self.next += 1;
        token
    }

    pub(super) fn want(&mut self, sign: &'static str) -> Result<(), PathError> {
        if self.eat(sign) { Ok(()) } else { self.expected(sign) }
    }

    pub(super) fn expected<T>(&self, wanted: &'static str) -> Result<T, PathError> {
        let at = self.tokens.get(self.next).map_or(self.end, |(at, _)| *at);
        Err(PathError::Expected { wanted, at })
    }

    /// `$` or `@`, and what follows.
    pub(super) fn node(&mut self) -> Result<Node, PathError> {
        let root = match self.take() {
            Some(Token::Sign("@")) => Root::Current,
            _ => Root::Whole,
        };
        let mut steps = Vec::new();
        loop {
            if self.eat("..") {
                let subscripts = if self.sees("[") { self.brackets()? } else { vec![self.bare()?] };
                steps.push(Step { depth: Depth::Below, subscripts });
            } else if self.eat(".") {
                steps.push(Step { depth: Depth::Here, subscripts: vec![self.bare()?] });
            } else if self.sees("[") {
                steps.push(Step { depth: Depth::Here, subscripts: self.brackets()? });
            } else {
                return Ok(Node { root, steps });
            }
        }
    }

    fn bare(&mut self) -> Result<Subscript, PathError> {
        match self.peek().cloned() {
            Some(Token::Sign("*")) => {
                self.next += 1;
                Ok(Subscript::All)
            }
            Some(Token::Name(name)) => {
                self.next += 1;
                if self.sees("(") { self.call(&name) } else { Ok(Subscript::Key(name)) }
            }
            _ => self.expected("`*` or a name"),
        }
    }

    fn call(&mut self, name: &str) -> Result<Subscript, PathError> {
        let function = Function::named(name)?;
        self.want("(")?;
        let mut arguments = Vec::new();
        while !self.eat(")") {
            if !arguments.is_empty() {
                self.want(",")?;
            }
            arguments.push(self.operand()?);
        }
        Ok(Subscript::Call(function, arguments))
    }

    fn brackets(&mut self) -> Result<Vec<Subscript>, PathError> {
        self.want("[")?;
        let mut subscripts = vec![self.subscript()?];
        while self.eat(",") {
            subscripts.push(self.subscript()?);
        }
        self.want("]")?;
        Ok(subscripts)
    }

    fn subscript(&mut self) -> Result<Subscript, PathError> {
        match self.peek().cloned() {
            Some(Token::Text(text)) => {
                self.next += 1;
                Ok(Subscript::Key(text))
            }
            Some(Token::Number(_)) => {
                let index = self.whole()?;
                if self.sees(":") { self.slice(Some(index)) } else { Ok(Subscript::Index(index)) }
            }
            Some(Token::Sign(":")) => self.slice(None),
            Some(Token::Sign("*")) => {
                self.next += 1;
                Ok(Subscript::All)
            }
            Some(Token::Sign("?")) => {
                self.next += 1;
                self.want("(")?;
                let expression = self.expression()?;
                self.want(")")?;
                Ok(Subscript::Filter(expression))
            }
            Some(Token::Sign("$" | "@")) => Ok(Subscript::Computed(self.node()?)),
            Some(Token::Name(name)) => {
                self.next += 1;
                self.call(&name)
            }
            _ => self.expected("a subscript"),
        }
    }

    fn whole(&mut self) -> Result<i64, PathError> {
        if let Some(Token::Number(digits)) = self.peek()
            && let Ok(index) = digits.parse()
        {
            self.next += 1;
            return Ok(index);
        }
        self.expected("a whole number")
    }

    fn slice(&mut self, start: Option<i64>) -> Result<Subscript, PathError> {
        let number = |parser: &mut Self| match parser.peek() {
            Some(Token::Number(_)) => parser.whole().map(Some),
            _ => Ok(None),
        };
        self.want(":")?;
        let end = number(self)?;
        let step = if self.eat(":") { number(self)? } else { None };
        Ok(Subscript::Slice(start, end, step))
    }
}

impl Node {
    pub(super) fn matches(&self, whole: &Value, current: &Value) -> Result<Vec<Value>, PathError> {
        let mut found = vec![match self.root {
            Root::Whole => whole.clone(),
            Root::Current => current.clone(),
        }];
        for step in &self.steps {
            let mut next = Vec::new();
            for value in &found {
                step.walk(whole, value, &mut next)?;
            }
            found = next;
        }
        Ok(found)
    }
}

impl Step {
    fn walk(&self, whole: &Value, value: &Value, found: &mut Vec<Value>) -> Result<(), PathError> {
        for subscript in &self.subscripts {
            found.extend(subscript.matches(whole, value)?);
        }
        if found.len() > MOST {
            return Err(PathError::TooMany);
        }
        if self.depth == Depth::Below {
            for child in children(value) {
                self.walk(whole, child, found)?;
            }
        }
        Ok(())
    }
}

fn children(value: &Value) -> Box<dyn Iterator<Item = &Value> + '_> {
    match value {
        Value::Array(list) => Box::new(list.iter()),
        Value::Object(map) => Box::new(map.values()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            Box::new(std::iter::empty())
        }
    }
}

impl Subscript {
    fn matches(&self, whole: &Value, value: &Value) -> Result<Vec<Value>, PathError> {
        Ok(match self {
            Self::Key(key) => value.get(key).cloned().into_iter().collect(),
            Self::Index(at) => index(value, *at).cloned().into_iter().collect(),
            Self::Slice(start, end, step) => slice(value, *start, *end, *step)?,
            Self::All => children(value).cloned().collect(),
            Self::Filter(expression) => {
                if expression.holds(whole, value)? {
                    vec![value.clone()]
                } else {
                    Vec::new()
                }
            }
            Self::Computed(node) => {
                let mut found = Vec::new();
                for key in node.matches(whole, value)? {
                    let there = match &key {
                        Value::String(key) => value.get(key),
                        Value::Bool(truth) => index(value, i64::from(*truth)),
                        Value::Number(number) => {
                            number.as_i64().and_then(|number| index(value, number))
                        }
                        Value::Null | Value::Array(_) | Value::Object(_) => None,
                    };
                    found.extend(there.cloned());
                }
                found
            }
            Self::Call(function, arguments) => {
                let mut sets: Vec<Vec<Value>> = vec![Vec::new()];
                for argument in arguments {
                    let values = argument.values(whole, value)?;
                    sets = sets
                        .iter()
                        .flat_map(|set| {
                            values.iter().map(move |value| {
                                let mut set = set.clone();
                                set.push(value.clone());
                                set
                            })
                        })
                        .take(MOST)
                        .collect();
                }
                sets.iter().filter_map(|arguments| function.call(value, arguments)).collect()
            }
        })
    }
}

/// From the end where it is negative.
fn place(length: usize, index: i64) -> Option<usize> {
    let length = i64::try_from(length).ok()?;
    let index = if index < 0 { index.checked_add(length)? } else { index };
    usize::try_from(index).ok()
}

fn index(value: &Value, at: i64) -> Option<&Value> {
    let list = value.as_array()?;
    list.get(place(list.len(), at)?)
}

/// Bounds below the list begin at its start, and a step back begins there too: it finds nothing
/// without a start of its own.
fn slice(
    value: &Value,
    start: Option<i64>,
    end: Option<i64>,
    step: Option<i64>,
) -> Result<Vec<Value>, PathError> {
    let Some(list) = value.as_array() else { return Ok(Vec::new()) };
    let length = i64::try_from(list.len()).unwrap_or(i64::MAX);
    let start = match start {
        Some(start) if start < 0 => start.saturating_add(length).max(0),
        Some(start) => start,
        None => 0,
    };
    let end = match end {
        Some(end) if end < 0 => end.saturating_add(length),
        Some(end) => end,
        None => length,
    };
    let step = step.unwrap_or(1);
    if step == 0 {
        return Err(PathError::Step);
    }
    let mut found = Vec::new();
    let mut at = start.min(length);
    if step < 0 {
        at = start;
    }
    let goes_on = |at: i64| if step > 0 { at < end.min(length) } else { at > end };
    while goes_on(at) && found.len() <= MOST {
        found.extend(index(value, at).cloned());
        at = at.saturating_add(step);
        if step < 0 && at < -length {
            break;
        }
    }
    Ok(found)
}

impl Function {
    fn call(self, value: &Value, arguments: &[Value]) -> Option<Value> {
        let whole = |value: &Value| value.as_bool().map(i64::from).or_else(|| value.as_i64());
        match (self, value, arguments) {
            (Self::CharAt, Value::String(text), [at]) => {
                let letters: Vec<char> = text.chars().collect();
                let letter = letters.get(place(letters.len(), whole(at)?)?)?;
                Some(Value::String(letter.to_string()))
            }
            (Self::Substring, Value::String(text), [from, rest @ ..]) if rest.len() < 2 => {
                let letters: Vec<char> = text.chars().collect();
                let clamp = |at: i64| place(letters.len(), at).unwrap_or(0).min(letters.len());
                let from = clamp(whole(from)?);
                let to = match rest.first() {
                    Some(to) => clamp(whole(to)?),
                    None => letters.len(),
                };
                Some(Value::String(letters.get(from..to).unwrap_or_default().iter().collect()))
            }
            (Self::Length, Value::String(text), []) => Some(text.chars().count().into()),
            (Self::Length, Value::Array(list), []) => Some(list.len().into()),
            (Self::Keys, Value::Object(map), []) => Some(map.keys().cloned().collect()),
            (Self::Keys, Value::Array(list), []) => Some((0..list.len()).collect()),
            (Self::Values, Value::Object(map), []) => Some(map.values().cloned().collect()),
            (Self::Values, Value::Array(list), []) => Some(Value::Array(list.clone())),
            (Self::Entries, Value::Object(map), []) => {
                let pair = |(key, value): (&String, &Value)| {
                    Value::Array(vec![Value::String(key.clone()), value.clone()])
                };
                Some(map.iter().map(pair).collect())
            }
            (Self::Entries, Value::Array(list), []) => {
                let pair = |(index, value): (usize, &Value)| {
                    Value::Array(vec![index.into(), value.clone()])
                };
                Some(list.iter().enumerate().map(pair).collect())
            }
            _ => None,
        }
    }
}
