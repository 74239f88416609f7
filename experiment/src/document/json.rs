//! JSON with positions, by descent.

use serde_json::Number;

use super::{DEEPEST, DocumentError, Entry, MOST, Node, Shape, SyntaxFault};
use crate::position::Position;

type Read<T> = Result<T, DocumentError>;

struct Text<'t> {
    rest: std::iter::Peekable<std::str::Chars<'t>>,
    at: Position,
    values: usize,
}

pub(super) fn read(text: &str) -> Read<Node> {
    let mut text = Text { rest: text.chars().peekable(), at: Position::START, values: 0 };
    text.space();
    let node = text.node(0)?;
    text.space();
    if text.rest.peek().is_some() { text.wrong("something follows the document") } else { Ok(node) }
}

impl Text<'_> {
    fn wrong<T>(&self, fault: &'static str) -> Read<T> {
        self.beyond(SyntaxFault::Json(fault))
    }

    fn beyond<T>(&self, fault: SyntaxFault) -> Read<T> {
        Err(DocumentError { at: self.at, fault })
    }

    fn next(&mut self) -> Option<char> {
        let next = self.rest.next()?;
        if next == '\n' {
            self.at = Position { line: self.at.line + 1, column: 1 };
        } else {
            self.at.column += 1;
        }
        Some(next)
    }

    fn eat(&mut self, wanted: char) -> bool {
        let is = self.rest.peek() == Some(&wanted);
        if is {
            self.next();
        }
        is
    }

    fn space(&mut self) {
        while self.rest.peek().is_some_and(|next| matches!(next, ' ' | '\t' | '\n' | '\r')) {
            self.next();
        }
    }

    fn node(&mut self, depth: usize) -> Read<Node> {
        if depth > DEEPEST {
            return self.beyond(SyntaxFault::TooDeep);
        }
        self.values += 1;
        if self.values > MOST {
            return self.beyond(SyntaxFault::TooMany);
        }
        let at = self.at;
        let shape = match self.rest.peek() {
            Some('{') => self.map(depth)?,
            Some('[') => self.list(depth)?,
            Some('"') => Shape::Text(self.text()?),
            Some('-' | '0'..='9') => Shape::Number(self.number()?),
            Some('a'..='z' | 'A'..='Z') => self.word()?,
            Some(_) => return self.wrong("a value was expected"),
            None => return self.wrong("it ends where a value was expected"),
        };
        Ok(Node { at, shape })
    }

    fn map(&mut self, depth: usize) -> Read<Shape> {
        self.next();
        let mut entries = Vec::new();
        self.space();
        if self.eat('}') {
            return Ok(Shape::Map(entries));
        }
        loop {
            self.space();
            let at = self.at;
            if self.rest.peek() != Some(&'"') {
                return self.wrong("a key in double quotes was expected");
            }
            let key = self.text()?;
            self.space();
            if !self.eat(':') {
                return self.wrong("`:` was expected after a key");
            }
            self.space();
            let value = self.node(depth + 1)?;
            entries.push(Entry { key, at, value });
            self.space();
            if self.eat('}') {
                return Ok(Shape::Map(entries));
            }
            if !self.eat(',') {
                return self.wrong("`,` or `}` was expected");
            }
        }
    }

    fn list(&mut self, depth: usize) -> Read<Shape> {
        self.next();
        let mut list = Vec::new();
        self.space();
        if self.eat(']') {
            return Ok(Shape::List(list));
        }
        loop {
            self.space();
            list.push(self.node(depth + 1)?);
            self.space();
            if self.eat(']') {
                return Ok(Shape::List(list));
            }
            if !self.eat(',') {
                return self.wrong("`,` or `]` was expected");
            }
        }
    }

    fn word(&mut self) -> Read<Shape> {
        let mut word = String::new();
        let begin = self.at;
        while let Some(letter) = self.rest.peek().copied().filter(char::is_ascii_alphanumeric) {
            word.push(letter);
            self.next();
        }
        match word.as_str() {
            "true" => Ok(Shape::Bool(true)),
            "false" => Ok(Shape::Bool(false)),
            "null" => Ok(Shape::Null),
            _ => {
                self.at = begin;
                self.wrong("only true, false and null stand without quotes")
            }
        }
    }

    fn number(&mut self) -> Read<Number> {
        let mut digits = String::new();
        let begin = self.at;
        while let Some(sign) = self.rest.peek().copied()
            && matches!(sign, '0'..='9' | '+' | '-' | '.' | 'e' | 'E')
        {
            digits.push(sign);
            self.next();
        }
        match serde_json::from_str(&digits) {
            Ok(number) => Ok(number),
            Err(_) => {
                self.at = begin;
                self.wrong("not a number")
            }
        }
    }

    fn text(&mut self) -> Read<String> {
        let begin = self.at;
        self.next();
        let mut text = String::new();
        loop {
            match self.next() {
                Some('"') => return Ok(text),
                Some('\\') => text.push(self.escaped()?),
                Some('\u{0}'..='\u{1f}') => {
                    return self.wrong("a line break or control character inside text");
                }
                Some(letter) => text.push(letter),
                None => {
                    self.at = begin;
                    return self.wrong("text without its closing quote");
                }
            }
        }
    }

    fn escaped(&mut self) -> Read<char> {
        Ok(match self.next() {
            Some(same @ ('"' | '\\' | '/')) => same,
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('u') => return self.unicode(),
            Some(_) | None => return self.wrong("an escape that does not exist"),
        })
    }

    fn unicode(&mut self) -> Read<char> {
        let first = self.hexadecimal()?;
        let code = if (0xd800..0xdc00).contains(&first) {
            let paired = self.eat('\\') && self.eat('u');
            let second = if paired { self.hexadecimal()? } else { 0 };
            if !(0xdc00..0xe000).contains(&second) {
                return self.wrong("half of a surrogate pair");
            }
            0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00)
        } else {
            first
        };
        char::from_u32(code).map_or_else(|| self.wrong("half of a surrogate pair"), Ok)
    }

    fn hexadecimal(&mut self) -> Read<u32> {
        let mut code = 0;
        for _ in 0..4 {
            match self.next().and_then(|digit| digit.to_digit(16)) {
                Some(digit) => code = code * 16 + digit,
                None => return self.wrong("`\\u` takes four hexadecimal digits"),
            }
        }
        Ok(code)
    }
}
