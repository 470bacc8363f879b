//! YAML: from the parser's events to values with places.

use std::collections::BTreeMap;
use std::rc::Rc;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError};

use super::{
    DEPTH_MAX, Document, Kind, Member, Mistake, Node, Place, Text, mistake, scalar, too_deep,
};

/// Reads the first document of a text.
pub(super) fn read(text: &str, origin: Origin) -> Result<Document, Mistake> {
    let begin = origin.begin();
    let mut builder = Builder::new(origin);
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| builder.unreadable(&error))?;
        let place = builder.place(span.start);
        if matches!(event, Event::DocumentStart(_)) && builder.root.is_some() {
            builder.second = Some(place);
            break;
        }
        builder.take(event, place)?;
    }
    match builder.root {
        Some(root) if !matches!(root.kind, Kind::Null) => Ok(Document::new(root, builder.second)),
        Some(_) | None => mistake(begin, "an Envoy configuration", "nothing"),
    }
}

/// Reads the documents of a text, at most so many.
pub(super) fn read_every(
    text: &str,
    origin: Origin,
    most: usize,
) -> Result<Vec<Rc<Node>>, Mistake> {
    let (mut roots, mut builder) = (Vec::new(), Builder::new(origin));
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| builder.unreadable(&error))?;
        let is_end = matches!(event, Event::DocumentEnd);
        builder.take(event, builder.place(span.start))?;
        if is_end {
            let next = Builder::new(builder.origin);
            roots.extend(std::mem::replace(&mut builder, next).root);
        }
        if roots.len() > most {
            return mistake(builder.place(span.start), format!("at most {most} documents"), "more");
        }
    }
    Ok(roots)
}

/// What is not complete yet.
enum Open {
    List(Vec<Rc<Node>>),
    /// The members, and a name whose value is still to come.
    Map(Vec<Member>, Option<(String, Place)>),
}

/// Where a text begins: a file, or a string within one.
#[derive(Clone, Copy)]
pub(super) enum Origin {
    /// The text's first letter stands here, and each line below begins in the same column.
    At(Place),
    /// Places within the text are unknown, so that all are this one.
    Fixed(Place),
}

impl Origin {
    const fn begin(self) -> Place {
        match self {
            Self::At(place) | Self::Fixed(place) => place,
        }
    }
}

struct Builder {
    origin: Origin,
    /// Where it began, what it is so far, and the number of its anchor.
    open: Vec<(Place, Open, usize)>,
    anchors: BTreeMap<usize, Rc<Node>>,
    root: Option<Rc<Node>>,
    second: Option<Place>,
}

impl Builder {
    const fn new(origin: Origin) -> Self {
        Self { origin, open: Vec::new(), anchors: BTreeMap::new(), root: None, second: None }
    }

    fn place(&self, marker: Marker) -> Place {
        match self.origin {
            Origin::At(Place { file, line, column }) => {
                let line = line.saturating_add(marker.line()).saturating_sub(1);
                Place { file, line, column: column.saturating_add(marker.col()) }
            }
            Origin::Fixed(place) => place,
        }
    }

    fn take(&mut self, event: Event<'_>, place: Place) -> Result<(), Mistake> {
        match event {
            Event::Alias(anchor) => self.alias(place, anchor),
            Event::Scalar(text, style, anchor, _) => {
                self.value(place, scalar_of(&text, style, place), anchor)
            }
            Event::SequenceStart(anchor, _) => self.open(place, Open::List(Vec::new()), anchor),
            Event::MappingStart(anchor, _) => self.open(place, Open::Map(Vec::new(), None), anchor),
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => Ok(()),
        }
    }

    fn unreadable(&self, error: &ScanError) -> Mistake {
        let expected = "YAML".to_owned();
        let found = format!("something else ({})", error.info());
        Mistake { place: self.place(*error.marker()), expected, found }
    }

    fn open(&mut self, place: Place, open: Open, anchor: usize) -> Result<(), Mistake> {
        if self.open.len() >= DEPTH_MAX as usize {
            return too_deep(place);
        }
        self.open.push((place, open, anchor));
        Ok(())
    }

    fn close(&mut self) -> Result<(), Mistake> {
        match self.open.pop() {
            Some((place, Open::List(items), anchor)) => {
                self.value(place, Kind::List(items), anchor)
            }
            Some((place, Open::Map(members, _), anchor)) => {
                self.value(place, Kind::Map(members), anchor)
            }
            None => Ok(()),
        }
    }

    fn alias(&mut self, place: Place, anchor: usize) -> Result<(), Mistake> {
        match self.anchors.get(&anchor) {
            Some(node) => self.add(place, Rc::clone(node)),
            None => mistake(place, "an alias of a value that is complete", "one within itself"),
        }
    }

    fn value(&mut self, place: Place, kind: Kind, anchor: usize) -> Result<(), Mistake> {
        let node = Node::new(place, kind)?;
        if anchor > 0 {
            self.anchors.insert(anchor, Rc::clone(&node));
        }
        self.add(place, node)
    }

    fn add(&mut self, place: Place, node: Rc<Node>) -> Result<(), Mistake> {
        match self.open.last_mut() {
            None => {
                self.root.get_or_insert(node);
            }
            Some((_, Open::List(items), _)) => items.push(node),
            Some((_, Open::Map(members, name), _)) => match name.take() {
                Some((name, place)) => members.push(Member { name, place, value: node }),
                None => *name = Some((name_of(place, &node)?, place)),
            },
        }
        Ok(())
    }
}

/// The parser gives the place of the first line of a block that is not empty.
fn scalar_of(text: &str, style: ScalarStyle, place: Place) -> Kind {
    let text = text.to_owned();
    match style {
        ScalarStyle::Plain => scalar::plain(&text),
        ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted | ScalarStyle::Folded => {
            Kind::Text(Text { text, block: None })
        }
        ScalarStyle::Literal => {
            let empty = text.chars().take_while(|letter| *letter == '\n').count();
            let line = place.line.saturating_sub(empty).max(1);
            Kind::Text(Text { text, block: Some(Place { line, ..place }) })
        }
    }
}

fn name_of(place: Place, node: &Node) -> Result<String, Mistake> {
    match &node.kind {
        Kind::Text(text) => Ok(text.text.clone()),
        Kind::Whole(number) => Ok(number.to_string()),
        Kind::Bool(flag) => Ok(flag.to_string()),
        Kind::Null => Ok("null".to_owned()),
        Kind::Decimal(_) | Kind::List(_) | Kind::Map(_) => {
            mistake(place, "a name", "something else")
        }
    }
}
