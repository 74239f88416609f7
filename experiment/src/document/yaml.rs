//! YAML with positions, from the events of its parser.

use std::collections::BTreeMap;

use granit_parser::{Event, Marker, Parser, ScalarStyle, Tag};

use super::{DEEPEST, DocumentError, Entry, MOST, Node, Shape, SyntaxFault, scalar};
use crate::position::Position;

type Read<T> = Result<T, DocumentError>;

/// A list or mapping whose end has not come yet.
struct Open {
    at: Position,
    anchor: usize,
    content: Content,
}

enum Content {
    List(Vec<Node>),
    Map { entries: Vec<Entry>, key: Option<Key>, merged: Vec<Node> },
}

enum Key {
    Named(String, Position),
    Merge,
}

/// What has been read so far.
struct Tree {
    open: Vec<Open>,
    anchors: BTreeMap<usize, Node>,
    root: Option<Node>,
    values: usize,
}

pub(super) fn read(text: &str) -> Read<Node> {
    let mut tree = Tree { open: Vec::new(), anchors: BTreeMap::new(), root: None, values: 0 };
    for next in Parser::new_from_str(text) {
        let (event, span) = next.map_err(|error| DocumentError {
            at: position(*error.marker()),
            fault: SyntaxFault::Yaml(error.info()),
        })?;
        tree.take(&event, position(span.start))?;
    }
    Ok(tree.root.unwrap_or(Node { at: Position::START, shape: Shape::Null }))
}

fn position(marker: Marker) -> Position {
    Position { line: marker.line(), column: marker.col() + 1 }
}

fn wrong<T>(at: Position, fault: SyntaxFault) -> Read<T> {
    Err(DocumentError { at, fault })
}

impl Tree {
    fn take(&mut self, event: &Event<'_>, at: Position) -> Read<()> {
        match event {
            Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentEnd
            | Event::Anchor(..)
            | Event::UnresolvedAlias(_) => Ok(()),
            Event::DocumentStart(..) if self.root.is_some() => wrong(at, SyntaxFault::Documents),
            Event::DocumentStart(..) => Ok(()),
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(anchor) else {
                    return wrong(at, SyntaxFault::Endless);
                };
                let values = size(node);
                self.count(at, values)?;
                let shape = self.anchors[anchor].shape.clone();
                self.add(Node { at, shape })
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.scalar(at, text, *style, *anchor, tag.as_deref())
            }
            Event::SequenceStart(_, anchor, tag) => {
                known(at, tag.as_deref(), "seq")?;
                self.begin(at, *anchor, Content::List(Vec::new()))
            }
            Event::MappingStart(_, anchor, tag) => {
                known(at, tag.as_deref(), "map")?;
                let content = Content::Map { entries: Vec::new(), key: None, merged: Vec::new() };
                self.begin(at, *anchor, content)
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            _ => Ok(()),
        }
    }

    fn begin(&mut self, at: Position, anchor: usize, content: Content) -> Read<()> {
        if self.open.len() >= DEEPEST {
            return wrong(at, SyntaxFault::TooDeep);
        }
        if matches!(self.open.last(), Some(Open { content: Content::Map { key: None, .. }, .. })) {
            return wrong(at, SyntaxFault::Key);
        }
        self.open.push(Open { at, anchor, content });
        self.count(at, 1)
    }

    fn end(&mut self) -> Read<()> {
        let Some(Open { at, anchor, content }) = self.open.pop() else { return Ok(()) };
        let shape = match content {
            Content::List(list) => Shape::List(list),
            Content::Map { mut entries, merged, .. } => {
                merge(&mut entries, merged)?;
                Shape::Map(entries)
            }
        };
        self.finish(Node { at, shape }, anchor)
    }

    fn scalar(
        &mut self,
        at: Position,
        text: &str,
        style: ScalarStyle,
        anchor: usize,
        tag: Option<&Tag>,
    ) -> Read<()> {
        if let Some(Open { content: Content::Map { key: key @ None, .. }, .. }) =
            self.open.last_mut()
        {
            let merges = text == "<<" && style == ScalarStyle::Plain;
            *key = Some(if merges { Key::Merge } else { Key::Named(text.to_owned(), at) });
            return Ok(());
        }
        self.count(at, 1)?;
        let shape = match tag {
            Some(tag) => tagged(at, text, tag)?,
            None if style == ScalarStyle::Plain => scalar::plain(text),
            None => Shape::Text(text.to_owned()),
        };
        self.finish(Node { at, shape }, anchor)
    }

    fn finish(&mut self, node: Node, anchor: usize) -> Read<()> {
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        self.add(node)
    }

    /// Counts values. Those behind an alias count each time, or nine lines become gigabytes.
    fn count(&mut self, at: Position, values: usize) -> Read<()> {
        self.values += values;
        if self.values > MOST { wrong(at, SyntaxFault::TooMany) } else { Ok(()) }
    }

    fn add(&mut self, node: Node) -> Read<()> {
        match self.open.last_mut().map(|open| &mut open.content) {
            None => self.root = Some(node),
            Some(Content::List(list)) => list.push(node),
            Some(Content::Map { entries, key, merged }) => match key.take() {
                Some(Key::Named(key, at)) => entries.push(Entry { key, at, value: node }),
                Some(Key::Merge) => merged.push(node),
                None => return wrong(node.at, SyntaxFault::Key),
            },
        }
        Ok(())
    }
}

fn size(node: &Node) -> usize {
    1 + match &node.shape {
        Shape::Null | Shape::Bool(_) | Shape::Number(_) | Shape::Text(_) => 0,
        Shape::List(list) => list.iter().map(size).sum(),
        Shape::Map(entries) => entries.iter().map(|entry| size(&entry.value)).sum(),
    }
}

/// `<<`: what a mapping says itself counts more than what it takes over, and the first of several sources
/// more than the next.
fn merge(entries: &mut Vec<Entry>, merged: Vec<Node>) -> Read<()> {
    let mut sources = Vec::new();
    for node in merged {
        match node.shape {
            Shape::Map(_) => sources.push(node),
            Shape::List(list) => sources.extend(list),
            Shape::Null | Shape::Bool(_) | Shape::Number(_) | Shape::Text(_) => {
                return wrong(node.at, SyntaxFault::Merge);
            }
        }
    }
    for source in sources {
        let Shape::Map(inherited) = source.shape else {
            return wrong(source.at, SyntaxFault::Merge);
        };
        let new: Vec<Entry> = inherited
            .into_iter()
            .filter(|entry| entries.iter().all(|own| own.key != entry.key))
            .collect();
        entries.extend(new);
    }
    Ok(())
}

fn tagged(at: Position, text: &str, tag: &Tag) -> Read<Shape> {
    let shape = match tag.core_suffix() {
        Some("str") => Some(Shape::Text(text.to_owned())),
        Some("null") => Some(Shape::Null),
        Some("bool") => scalar::truth(text).map(Shape::Bool),
        Some("int") => scalar::integer(text).map(|number| Shape::Number(number.into())),
        Some("float") => scalar::number(text).map(Shape::Number),
        Some(_) | None if tag.suffix() == "!" || tag.suffix().is_empty() => {
            Some(Shape::Text(text.to_owned()))
        }
        Some(_) | None => return wrong(at, SyntaxFault::Tag(tag.original())),
    };
    let mistagged = || SyntaxFault::Mistagged { tag: tag.original(), text: text.to_owned() };
    shape.map_or_else(|| wrong(at, mistagged()), Ok)
}

/// Lists and mappings may carry the tag that they have anyway.
fn known(at: Position, tag: Option<&Tag>, own: &str) -> Read<()> {
    match tag {
        Some(tag) if tag.core_suffix() != Some(own) => wrong(at, SyntaxFault::Tag(tag.original())),
        Some(_) | None => Ok(()),
    }
}
