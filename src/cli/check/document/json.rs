//! JSON, with places. YAML's reader takes most of it, but not all, and understands numbers and
//! words otherwise than Envoy does in JSON.

use std::rc::Rc;

use super::{DEPTH_MAX, Kind, Member, Mistake, Node, Place, Text, mistake, too_deep};

/// Reads a whole text.
pub(super) fn read(text: &str, begin: Place) -> Result<Rc<Node>, Mistake> {
    Reader { rest: text, at: begin, left: begin.column, is_fixed: false }.all()
}

/// Reads a text that stands in another one: as a block of lines, or somehow at `place`.
pub(super) fn read_within(
    text: &str,
    place: Place,
    block: Option<Place>,
) -> Result<Rc<Node>, Mistake> {
    let at = block.unwrap_or(place);
    Reader { rest: text, at, left: at.column, is_fixed: block.is_none() }.all()
}

struct Reader<'t> {
    rest: &'t str,
    at: Place,
    /// The column where lines begin.
    left: usize,
    /// Whether places within the text are unknown, so that all are that of its beginning.
    is_fixed: bool,
}

impl Reader<'_> {
    fn all(mut self) -> Result<Rc<Node>, Mistake> {
        let node = self.value(DEPTH_MAX)?;
        self.space();
        match self.rest.chars().next() {
            None => Ok(node),
            Some(_) => self.wrong("the end"),
        }
    }

    fn value(&mut self, depth: u32) -> Result<Rc<Node>, Mistake> {
        self.space();
        let place = self.at;
        let Some(depth) = depth.checked_sub(1) else { return too_deep(place) };
        let kind = match self.rest.chars().next() {
            Some('{') => self.members(depth)?,
            Some('[') => self.items(depth)?,
            Some('"') => Kind::Text(Text { text: self.text()?, block: None }),
            Some('-' | '0'..='9') => self.number()?,
            _ => self.word()?,
        };
        Node::new(place, kind)
    }

    fn members(&mut self, depth: u32) -> Result<Kind, Mistake> {
        let mut members = Vec::new();
        self.take();
        if self.takes('}') {
            return Ok(Kind::Map(members));
        }
        loop {
            self.space();
            let place = self.at;
            let name = self.text()?;
            if !self.takes(':') {
                return self.wrong("a colon");
            }
            let value = self.value(depth)?;
            members.push(Member { name, place, value });
            if self.takes('}') {
                return Ok(Kind::Map(members));
            }
            if !self.takes(',') {
                return self.wrong("a comma or }");
            }
        }
    }

    fn items(&mut self, depth: u32) -> Result<Kind, Mistake> {
        let mut items = Vec::new();
        self.take();
        if self.takes(']') {
            return Ok(Kind::List(items));
        }
        loop {
            items.push(self.value(depth)?);
            if self.takes(']') {
                return Ok(Kind::List(items));
            }
            if !self.takes(',') {
                return self.wrong("a comma or ]");
            }
        }
    }

    /// A string. Where it ends is seen here, what its escapes mean is left to `serde_json`.
    fn text(&mut self) -> Result<String, Mistake> {
        if !self.rest.starts_with('"') {
            return self.wrong("a string");
        }
        let mut escaped = false;
        let end = self.rest.char_indices().skip(1).find_map(|(at, letter)| {
            let ends = letter == '"' && !escaped;
            escaped = letter == '\\' && !escaped;
            ends.then_some(at + 1)
        });
        let Some((quoted, _)) = end.and_then(|end| self.rest.split_at_checked(end)) else {
            return self.wrong("a string that ends");
        };
        let Ok(text) = serde_json::from_str(quoted) else {
            return self.wrong("a string with escapes as JSON has them");
        };
        self.skip(quoted.len());
        Ok(text)
    }

    fn number(&mut self) -> Result<Kind, Mistake> {
        let is_part = |letter: char| letter.is_ascii_alphanumeric() || "+-.".contains(letter);
        let length = self.rest.find(|letter| !is_part(letter)).unwrap_or(self.rest.len());
        let word = self.rest.get(..length).unwrap_or_default();
        let Ok(number) = serde_json::from_str::<serde_json::Number>(word) else {
            return self.wrong("a number");
        };
        let kind = match (number.as_i64(), number.as_f64()) {
            (Some(number), _) => Kind::Whole(number),
            (None, number) => Kind::Decimal(number.unwrap_or_default()),
        };
        self.skip(length);
        Ok(kind)
    }

    fn word(&mut self) -> Result<Kind, Mistake> {
        let words =
            [("null", Kind::Null), ("true", Kind::Bool(true)), ("false", Kind::Bool(false))];
        for (word, kind) in words {
            if self.rest.starts_with(word) {
                self.skip(word.len());
                return Ok(kind);
            }
        }
        self.wrong("a value")
    }

    fn space(&mut self) {
        while self.rest.starts_with([' ', '\t', '\n', '\r']) {
            self.take();
        }
    }

    /// Goes past `wanted`, if it is next.
    fn takes(&mut self, wanted: char) -> bool {
        self.space();
        let is_next = self.rest.starts_with(wanted);
        if is_next {
            self.take();
        }
        is_next
    }

    fn skip(&mut self, bytes: usize) {
        let end = self.rest.len().saturating_sub(bytes);
        while self.rest.len() > end {
            self.take();
        }
    }

    fn take(&mut self) {
        let mut letters = self.rest.chars();
        let letter = letters.next();
        self.rest = letters.as_str();
        if self.is_fixed {
            return;
        }
        if letter == Some('\n') {
            (self.at.line, self.at.column) = (self.at.line + 1, self.left);
        } else {
            self.at.column += 1;
        }
    }

    fn wrong<T>(&self, expected: &str) -> Result<T, Mistake> {
        let found = match self.rest.chars().next() {
            None => "the end".to_owned(),
            Some(letter) => format!("{letter:?}"),
        };
        mistake(self.at, format!("{expected} (JSON)"), &found)
    }
}
