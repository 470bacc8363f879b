//! `dana-failover audit report`: the story of a period, for finance and auditors.

mod html;
mod json;
mod picture;
mod text;

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::Error;
use super::story::Story;
use crate::cli::entry::Entry;
use crate::cli::lines::{self, Source};
use crate::cli::times;
use crate::engine::Zone;

/// Tells what an audit trail says of a period: who took payments and when, each switch with its evidence,
/// doubts and how they ended, what operators did and why.
///
/// It believes what stands there: verify it first. With --drill it exits with 1 unless another gateway than
/// the preferred one has executed payments.
#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub(crate) struct Options {
    /// The trail, rotated and packed files too, of all Envoys; `-` for standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// Only what happened from then on.
    #[arg(long, value_name = "TIME", value_parser = time)]
    from: Option<u64>,

    /// Only what happened before then.
    #[arg(long, value_name = "TIME", value_parser = time)]
    to: Option<u64>,

    /// Was the reserve really exercised? Exits with 1 if not.
    #[arg(long)]
    drill: bool,

    /// Text for people, one JSON document, or one page of HTML with a picture.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,

    /// The time zone of text and page.
    #[arg(long, value_name = "ZONE", default_value = Zone::DEFAULT, value_parser = zone)]
    zone: Zone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
    Html,
}

fn time(text: &str) -> Result<u64, String> {
    times::millis(text)
        .ok_or_else(|| "expected a time such as 2026-11-30T00:00:00+07:00".to_owned())
}

fn zone(text: &str) -> Result<Zone, String> {
    Zone::parse(text).ok_or_else(|| format!("expected {}", Zone::EXPECTED))
}

/// Tells whether the reserve was to be exercised, and was not.
pub(crate) fn run(options: &Options) -> Result<bool, Error> {
    let mut story = Story::default();
    for path in &options.files {
        read(path, options, &mut story)?;
    }
    if story.entries == 0 {
        return Err(Error::Empty);
    }
    story.end();
    let was_exercised = story.reserves().next().is_some();
    let mut out = BufWriter::new(io::stdout().lock());
    let written = match options.format {
        Format::Text => text::write(&mut out, &story, &options.zone),
        Format::Json => json::write(&mut out, &story),
        Format::Html => html::write(&mut out, &story, &options.zone),
    };
    match written.and_then(|()| out.flush()) {
        // Whoever closed the pipe has seen enough.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Error::Write(error)),
        Ok(()) | Err(_) => Ok(options.drill && !was_exercised),
    }
}

fn read(path: &Path, options: &Options, story: &mut Story) -> Result<(), Error> {
    let unread = |error| Error::Read { path: path.to_owned(), error };
    let read = lines::each(Source::open(path).map_err(unread)?, |line| {
        let Some(entry) = line.bytes.and_then(Entry::read) else {
            return;
        };
        let at = times::millis(&entry.time).unwrap_or_default();
        if options.from.is_none_or(|from| at >= from) && options.to.is_none_or(|to| at < to) {
            story.take(&entry);
        }
    });
    read.map_err(unread)
}
