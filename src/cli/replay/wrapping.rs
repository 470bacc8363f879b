//! What tools put around the lines of a log: Docker, Compose, Kubernetes, and the runtimes below.
//!
//! A line of the access log may come with a time stamp, a container's name, a runtime's stream and
//! tag before it, and in several parts. Only what stands within is judged. Envoy's own log lines,
//! and text of anybody else's, are no outcomes: they are told apart here and passed over.

use super::clock;
use crate::cli::lines::LINE_BYTES_MAX;

/// As many prefixes as any tool puts before a line, one behind the other.
const PREFIXES_MAX: usize = 4;
/// Of a container's or a pod's name, with its path.
const NAME_BYTES_MAX: usize = 512;

/// What a line is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'l> {
    /// JSON, or what should be.
    Json(&'l [u8]),
    /// The beginning or the middle of a line whose end is still to come.
    Part,
    /// A line of Envoy's own log.
    Envoys,
    /// Something else that nobody wrote for us.
    Text,
    /// Nothing.
    Blank,
    /// Longer than a line may be, with all its parts.
    Long,
}

/// Parts of lines that have no end yet: the runtime writes both streams into one file.
#[derive(Default)]
pub(super) struct Wrapping {
    open: [Vec<u8>; 2],
    /// The last line that came in parts.
    whole: Vec<u8>,
}

/// Whether a line of a stream ends here.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tag {
    Full,
    Part,
}

impl Wrapping {
    /// Takes a line out of what is around it.
    pub(super) fn take<'l>(&'l mut self, line: &'l [u8]) -> Line<'l> {
        let (mut rest, mut part) = (line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line), None);
        for _ in 0..PREFIXES_MAX {
            if let Some((stream, tag, inner)) = runtimes(rest) {
                (rest, part) = (inner, Some((stream, tag)));
                // What stands in a part may look like anything.
                break;
            }
            let Some(inner) = container(rest).or_else(|| pod(rest)).or_else(|| stamped(rest))
            else {
                break;
            };
            rest = inner;
        }
        let Some((stream, tag)) = part else { return kind(rest) };
        let Some(open) = self.open.get_mut(stream) else { return Line::Text };
        if tag == Tag::Full && open.is_empty() {
            return kind(rest);
        }
        if open.len().saturating_add(rest.len()) > LINE_BYTES_MAX {
            open.clear();
            return Line::Long;
        }
        open.extend_from_slice(rest);
        if tag == Tag::Part {
            return Line::Part;
        }
        self.whole = std::mem::take(open);
        kind(&self.whole)
    }

    /// Lines whose end never came.
    pub(super) fn unfinished(&self) -> u64 {
        self.open.iter().map(|open| u64::from(!open.is_empty())).sum()
    }
}

fn kind(line: &[u8]) -> Line<'_> {
    let line = line.trim_ascii();
    match line {
        [] => Line::Blank,
        [b'{', ..] => Line::Json(line),
        // `[2026-11-28 10:00:00.123][1][info][main] ...`
        [b'[', a, b, c, d, b'-', ..] if [a, b, c, d].into_iter().all(u8::is_ascii_digit) => {
            Line::Envoys
        }
        // Nearer to JSON than to anything else: it is refused with what was expected.
        [b'[', ..] => Line::Json(line),
        _ => Line::Text,
    }
}

/// What container runtimes write: `2026-11-28T10:00:00.123456789Z stdout F {...}`; which stream, and
/// whether the line ends here.
fn runtimes(line: &[u8]) -> Option<(usize, Tag, &[u8])> {
    let rest = stamped(line)?;
    let (stream, rest) = word(rest)?;
    let stream = match stream {
        b"stdout" => 0,
        b"stderr" => 1,
        _ => return None,
    };
    // A line may be empty, and then has lost the space behind its tag.
    let (tag, rest) = word(rest).unwrap_or((rest, &[]));
    let tag = match tag.split(|byte| *byte == b':').next() {
        Some(b"F") => Tag::Full,
        Some(b"P") => Tag::Part,
        Some(_) | None => return None,
    };
    Some((stream, tag, rest))
}

/// `docker logs -t`, `kubectl logs --timestamps`: `2026-11-28T10:00:00.123456789Z {...}`.
fn stamped(line: &[u8]) -> Option<&[u8]> {
    let (time, rest) = word(line)?;
    let time = std::str::from_utf8(time).ok()?;
    clock::parse(time).map(|_| rest)
}

/// `docker compose logs`: `envoy-1  | {...}`.
fn container(line: &[u8]) -> Option<&[u8]> {
    let (name, rest) = word(line)?;
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-".contains(byte);
    if !name.iter().all(is_name) {
        return None;
    }
    let rest = rest.trim_ascii_start().strip_prefix(b"|")?;
    Some(rest.strip_prefix(b" ").unwrap_or(rest))
}

/// `kubectl logs --prefix`: `[pod/dana-5c/envoy] {...}`.
fn pod(line: &[u8]) -> Option<&[u8]> {
    let rest = line.strip_prefix(b"[pod/")?;
    let end = rest.iter().take(NAME_BYTES_MAX).position(|byte| *byte == b']')?;
    rest.get(end..)?.strip_prefix(b"] ")
}

/// Up to the first space, and what is behind it.
fn word(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let end =
        line.iter().take(NAME_BYTES_MAX).position(|byte| *byte == b' ').filter(|end| *end > 0)?;
    Some((line.get(..end)?, line.get(end + 1..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(line: &str) -> String {
        match Wrapping::default().take(line.as_bytes()) {
            Line::Json(inner) => String::from_utf8(inner.to_vec()).unwrap(),
            other @ (Line::Part | Line::Envoys | Line::Text | Line::Blank | Line::Long) => {
                format!("{other:?}")
            }
        }
    }

    #[test]
    fn whatever_is_around_a_line_it_is_found() {
        let time = "2026-11-28T10:00:00.123456789Z";
        for line in [
            "{}".to_owned(),
            "\u{feff}{}".to_owned(),
            format!("{time} {{}}"),
            format!("{time} stdout F {{}}"),
            "2026-11-28T17:00:00.123456789+07:00 stderr F:a {}".to_owned(),
            "envoy-1  | {}".to_owned(),
            format!("envoy-1 | {time} {{}}"),
            "[pod/dana-5c/envoy] {}".to_owned(),
            format!("[pod/dana-5c/envoy] {time} {{}}"),
            format!("[pod/dana-5c/envoy] {time} stdout F {{}}"),
        ] {
            assert_eq!(taken(&line), "{}", "{line}");
        }
    }

    #[test]
    fn what_is_no_outcome_is_told_apart() {
        let own = "[2026-11-28 10:00:00.123][1][info][main] [source/server/server.cc:1] starting";
        for (line, kind) in [
            (own, "Envoys"),
            (&format!("envoy-1  | {own}"), "Envoys"),
            (&format!("2026-11-28T10:00:00.1Z stderr F {own}"), "Envoys"),
            ("Attaching to envoy-1, sandbox-1", "Text"),
            ("envoy-1  |", "Blank"),
            ("envoy-1  | ", "Blank"),
            ("2026-11-28T10:00:00.1Z stdout F", "Blank"),
            ("2026-11-28T10:00:00.1Z stdout X {}", "Text"),
            ("\u{feff}", "Blank"),
            ("", "Blank"),
            ("[]", "[]"),
            ("[pod/x", "[pod/x"),
        ] {
            assert_eq!(taken(line), kind, "{line}");
        }
    }

    #[test]
    fn parts_of_a_line_are_joined_by_stream_and_within_a_bound() {
        let mut wrapping = Wrapping::default();
        let line = |stream: &str, tag: &str, text: &str| {
            format!("2026-11-28T10:00:00.123456789Z {stream} {tag} {text}").into_bytes()
        };
        assert_eq!(wrapping.take(&line("stdout", "P", "{\"a\":")), Line::Part);
        assert_eq!(wrapping.take(&line("stderr", "F", "[2026-11-28 x")), Line::Envoys);
        assert_eq!(wrapping.take(&line("stderr", "P", "[2026")), Line::Part);
        assert_eq!(wrapping.take(&line("stdout", "P", " 1 ")), Line::Part);
        assert_eq!(wrapping.take(&line("stdout", "F", "}")), Line::Json(b"{\"a\": 1 }"));
        assert_eq!(wrapping.unfinished(), 1);
        assert_eq!(wrapping.take(&line("stderr", "F", "-11-28 ]")), Line::Envoys);
        assert_eq!(wrapping.unfinished(), 0);
        let half = "x".repeat(LINE_BYTES_MAX / 2 + 1);
        assert_eq!(wrapping.take(&line("stdout", "P", &half)), Line::Part);
        assert_eq!(wrapping.take(&line("stdout", "P", &half)), Line::Long);
    }
}
