//! A sheet as JSON Lines: an object for each line, whose members stand in for columns.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};

use csv::{ByteRecord, Position};
use serde_json::value::RawValue;

use super::Mistake;
use crate::cli::lines::{Fault, LINE_BYTES_MAX, Source};

/// Members of an object, as they stand there.
type Members<'a> = BTreeMap<String, &'a RawValue>;

/// Objects, read line by line into records of these members.
pub(super) struct JsonLines {
    source: Source<'static>,
    members: Vec<String>,
    is_begun: bool,
}

impl JsonLines {
    pub(super) fn new(file: impl BufRead + 'static, members: Vec<String>) -> Self {
        Self { source: Source::over(Box::new(file)), members, is_begun: false }
    }

    /// Whether a file is one of these: CSV does not begin so.
    pub(super) fn is(file: &mut impl BufRead) -> std::io::Result<bool> {
        Ok(file.fill_buf()?.trim_ascii_start().starts_with(b"{"))
    }

    /// Fills in the next record, if there is one.
    pub(super) fn read(&mut self, record: &mut ByteRecord) -> Result<bool, Mistake> {
        let mistake = |line, found: String| {
            let expected = "an object of JSON in one line".to_owned();
            Mistake { line, expected, found }
        };
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
        let is_first = !std::mem::replace(&mut self.is_begun, true);
        fill(record, text, &self.members).map_err(|error| mistake(line, error.to_string()))?;
        if is_first && record.get(0).is_none_or(<[u8]>::is_empty) {
            let name = self.members.first().map_or("", String::as_str);
            let expected = format!("a member {name:?} (--columns names others)");
            let found = String::from_utf8_lossy(text).chars().take(80).collect();
            return Err(Mistake { line, expected, found });
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

/// A cell for each member: a string as it is, everything else as it is written, nothing for what is
/// not there. Numbers are never read as floats.
fn fill(record: &mut ByteRecord, text: &[u8], members: &[String]) -> serde_json::Result<()> {
    let object: Members<'_> = serde_json::from_slice(text)?;
    record.clear();
    for member in members {
        record.push_field(cell(&object, member).as_bytes());
    }
    Ok(())
}

/// `amount.value` is the member `value` of the member `amount`, unless there is one that is called so.
fn cell(object: &Members<'_>, path: &str) -> String {
    if let Some(value) = object.get(path) {
        return text(value);
    }
    let Some((first, rest)) = path.split_once('.') else {
        return String::new();
    };
    let inner = object.get(first).and_then(|value| serde_json::from_str(value.get()).ok());
    inner.map_or_else(String::new, |inner: Members<'_>| cell(&inner, rest))
}

fn text(value: &RawValue) -> String {
    let written = value.get();
    match serde_json::from_str::<Option<String>>(written) {
        Ok(text) => text.unwrap_or_default(),
        Err(_) => written.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &'static str, members: &[&str]) -> Result<Vec<String>, Mistake> {
        let members = members.iter().map(|member| (*member).to_owned()).collect();
        let mut lines = JsonLines::new(text.as_bytes(), members);
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
        let text = "{\"id\":\"A\\u0041\",\"amount\":{\"value\":\"10.00\",\"currency\":\"IDR\"},\"n\":1}\n\
                    \n{\"n\":12345678901234567890.10,\"id\":null,\"a.b\":\"c\",\"x\":[1]}";
        let rows = read(text, &["id", "amount.value", "n", "a.b", "amount.value.x"]).unwrap();
        assert_eq!(rows, ["1@0: AA|10.00|1||", "3@68: ||12345678901234567890.10|c|"]);
    }

    #[test]
    fn a_file_without_references_is_no_sheet() {
        let mistake = read("{\"order_id\":\"A\"}", &["reference"]).unwrap_err();
        assert_eq!(
            mistake.to_string(),
            "1: expected a member \"reference\" (--columns names others), found {\"order_id\":\"A\"}"
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
