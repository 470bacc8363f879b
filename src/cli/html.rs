//! Pages that need nothing else and run nothing: for finance, auditors and the archive.

use std::fmt::Display;
use std::io::{self, Write};

const STYLE: &str = include_str!("page.css");

/// What stands before everything else on a page.
pub(crate) fn begin(out: &mut impl Write, title: &str, heading: &str) -> io::Result<()> {
    write!(
        out,
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
         <title>{}</title><style>{STYLE}</style><h1>{}</h1>",
        escaped(title),
        escaped(heading),
    )
}

/// A paragraph, of a class where one is named.
pub(crate) fn paragraph(out: &mut impl Write, class: &str, text: impl Display) -> io::Result<()> {
    let class = if class.is_empty() { String::new() } else { format!(" class={class}") };
    writeln!(out, "<p{class}>{}</p>", escaped(&text.to_string()))
}

/// The end of a page.
pub(crate) fn end(out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "</html>")
}

/// A table; nothing where it has no rows.
pub(crate) fn table(
    out: &mut impl Write,
    title: &str,
    heads: &[&str],
    rows: impl Iterator<Item = Vec<String>>,
) -> io::Result<()> {
    let mut rows = rows.peekable();
    if rows.peek().is_none() {
        return Ok(());
    }
    write!(out, "<h2>{}</h2><table><tr>", escaped(title))?;
    heads.iter().try_for_each(|head| write!(out, "<th>{}", escaped(head)))?;
    for row in rows {
        write!(out, "<tr>")?;
        row.iter().try_for_each(|cell| write!(out, "<td>{}", escaped(cell)))?;
    }
    writeln!(out, "</table>")
}

/// A text as it stands in markup.
pub(crate) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            character => escaped.push(character),
        }
    }
    escaped
}
