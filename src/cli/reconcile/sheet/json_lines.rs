//! A sheet as JSON Lines: an object for each line, whose members stand in for columns. As in CSV, their
//! names may be written in capitals or not.

use std::fmt;
use std::io::{BufRead, BufReader, Read};

use csv::{ByteRecord, Position};
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::Mistake;
use crate::cli::lines::{Fault, LINE_BYTES_MAX, Source};

/// Members of an object, as they stand there. None stands there twice, in whatever letters: nobody knows
/// which of the two was meant.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'a> Members<'a> {
    fn get(&self, name: &str) -> Option<&'a RawValue> {
        let is_it = |(known, _): &&(String, &'a RawValue)| known.eq_ignore_ascii_case(name);
        self.0.iter().find(is_it).map(|(_, value)| *value)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor;
        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Members(Vec::new());
                while let Some((name, value)) = map.next_entry::<String, &RawValue>()? {
                    if members.get(&name).is_some() {
                        return Err(A::Error::custom(format!("the member {name:?} twice")));
                    }
                    members.0.push((name, value));
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(MembersVisitor)
    }
}

const EXPECTED: &str = "an object of JSON in one line";

/// Objects, read line by line into records of these members.
pub(super) struct JsonLines {
    source: Source<'static>,
    members: Vec<String>,
    /// Which of them the first line has. One that is there later alone is a mistake: what was before it was
    /// read without.
    has: Vec<bool>,
}

impl JsonLines {
    /// # Errors
    /// Where the first line is no object.
    pub(super) fn new(
        mut file: impl BufRead + 'static,
        members: Vec<String>,
    ) -> Result<Self, Mistake> {
        let mistake = |found: String| Mistake { line: 1, expected: EXPECTED.to_owned(), found };
        let buffer = file.fill_buf().map_err(|error| mistake(error.to_string()))?;
        let first = buffer.trim_ascii_start().split(|byte| *byte == b'\n').next();
        let mut record = ByteRecord::new();
        fill(&mut record, first.unwrap_or_default(), &members)
            .map_err(|error| mistake(error.to_string()))?;
        let has = record.iter().map(|cell| !cell.is_empty()).collect();
        Ok(Self { source: Source::over(Box::new(file)), members, has })
    }

    /// Whether the first line has the member at this place.
    pub(super) fn has(&self, place: usize) -> bool {
        self.has.get(place).copied().unwrap_or_default()
    }

    /// Whether a file is one of these: CSV does not begin so.
    pub(super) fn is(file: &mut impl BufRead) -> std::io::Result<bool> {
        Ok(file.fill_buf()?.trim_ascii_start().starts_with(b"{"))
    }

    /// Fills in the next record, if there is one.
    pub(super) fn read(&mut self, record: &mut ByteRecord) -> Result<bool, Mistake> {
        let mistake = |line, found: String| Mistake { line, expected: EXPECTED.to_owned(), found };
        let (line, is_whole) = match self.source.next_whole() {
            None => return Ok(false),
            Some((line, Ok(_))) => (line, true),
            Some((line, Err(Fault::Long))) => (line, false),
            Some((line, Err(Fault::Io(error)))) => return Err(mistake(line, error.to_string())),
        };
        let (at, text) = self.source.last();
        if !is_whole {
            return Err(mistake(line, format!("more than {LINE_BYTES_MAX} bytes")));
        }
        fill(record, text, &self.members).map_err(|error| mistake(line, error.to_string()))?;
        let late =
            self.has.iter().zip(record.iter()).position(|(has, cell)| !has && !cell.is_empty());
        if let Some(name) = late.and_then(|place| self.members.get(place)) {
            let expected = format!("{name:?} in the first line too, or nowhere");
            return Err(Mistake { line, expected, found: "it here alone".to_owned() });
        }
        let mut position = Position::new();
        position.set_line(line).set_byte(at);
        record.set_position(Some(position));
        Ok(true)
    }

    /// One line that is at hand.
    pub(super) fn read_one(&self, line: impl Read, record: &mut ByteRecord) {
        let mut text = Vec::new();
        let read = BufReader::new(line).take(LINE_BYTES_MAX as u64).read_until(b'\n', &mut text);
        if read.is_err() || fill(record, &text, &self.members).is_err() {
            record.clear();
        }
    }
}

/// A cell for each member: a string as it is, a number or a flag as it is written, nothing for what is not
/// there. Numbers are never read as floats, and what is no single value is none.
fn fill(record: &mut ByteRecord, text: &[u8], members: &[String]) -> serde_json::Result<()> {
    let object: Members<'_> = serde_json::from_slice(text)?;
    record.clear();
    for member in members {
        record.push_field(cell(&object, member)?.as_bytes());
    }
    Ok(())
}

/// `amount.value` is the member `value` of the member `amount`, unless there is one that is called so.
fn cell(object: &Members<'_>, path: &str) -> serde_json::Result<String> {
    if let Some(value) = object.get(path) {
        return text(path, value);
    }
    let inner = path.split_once('.').and_then(|(first, rest)| Some((object.get(first)?, rest)));
    match inner {
        Some((value, rest)) if value.get().starts_with('{') => {
            cell(&serde_json::from_str(value.get())?, rest)
        }
        Some(_) | None => Ok(String::new()),
    }
}

fn text(name: &str, value: &RawValue) -> serde_json::Result<String> {
    let written = value.get();
    match written.as_bytes().first() {
        Some(b'"') => serde_json::from_str(written),
        Some(b'{' | b'[') => {
            let expected = format!("expected a text or a number in {name:?}, found {written:.60}");
            Err(serde_json::Error::custom(expected))
        }
        Some(_) | None if written == "null" => Ok(String::new()),
        Some(_) | None => Ok(written.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &'static str, members: &[&str]) -> Result<Vec<String>, Mistake> {
        let members = members.iter().map(|member| (*member).to_owned()).collect();
        let mut lines = JsonLines::new(text.as_bytes(), members)?;
        let (mut record, mut rows) = (ByteRecord::new(), Vec::new());
        while lines.read(&mut record)? {
            let cells = record.iter().map(|cell| String::from_utf8_lossy(cell).into_owned());
            let position = record.position().unwrap();
            let row = cells.collect::<Vec<_>>().join("|");
            rows.push(format!("{}@{}: {row}", position.line(), position.byte()));
        }
        Ok(rows)
    }

    #[test]
    fn members_are_cells_as_they_are_written() {
        let text = "{\"id\":\"A\\u0041\",\"amount\":{\"value\":\"10.00\"},\"n\":1,\"a.b\":true}\n\
                    \n{\"n\":12345678901234567890.10,\"id\":null,\"a.b\":\"c\",\"x\":[1]}";
        let rows = read(text, &["id", "amount.value", "n", "a.b", "amount.value.x"]).unwrap();
        assert_eq!(rows, ["1@0: AA|10.00|1|true|", "3@62: ||12345678901234567890.10|c|"]);
    }

    #[test]
    fn names_are_those_of_csv_and_none_stands_there_twice() {
        let rows =
            read("{\"ID\":\"A\",\"Amount\":{\"VALUE\":1}}", &["id", "amount.value"]).unwrap();
        assert_eq!(rows, ["1@0: A|1"]);
        for text in [
            "{\"id\":\"A\",\"id\":\"B\"}",
            "{\"id\":\"A\",\"ID\":\"B\"}",
            "{\"id\":\"A\",\"type\":{\"code\":\"PAYMENT\",\"refundable\":true}}",
            "{\"id\":[\"A\"]}",
        ] {
            assert!(read(text, &["id", "type"]).is_err(), "{text}");
        }
    }

    #[test]
    fn a_member_is_in_the_first_line_or_nowhere() {
        let mistake =
            read("{\"id\":\"A\"}\n{\"id\":\"B\",\"status\":\"x\"}", &["id", "status"]).unwrap_err();
        assert_eq!(
            mistake.to_string(),
            "2: expected \"status\" in the first line too, or nowhere, found it here alone"
        );
        assert!(read("{\"id\":\"A\"}\n{}", &["id"]).is_ok(), "money that nobody knows");
    }

    #[test]
    fn what_is_no_object_is_a_mistake_in_its_line() {
        for (text, line) in
            [("{\"a\":1}\n[1]\n", 2), ("{} {}", 1), ("{\"a\":1\n", 1), ("{\"a\":1}\n\n\nx", 4)]
        {
            let mistake = read(text, &["a"]).unwrap_err();
            assert_eq!(
                (mistake.line, mistake.expected.as_str()),
                (line, "an object of JSON in one line")
            );
        }
    }
}
