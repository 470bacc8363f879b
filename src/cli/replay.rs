//! `dana-failover replay`: what would these thresholds have done with these outcomes?

mod access;
mod clock;
mod course;
mod help;
mod line;
mod settings;
mod source;
mod story;
mod timeline;

use std::fmt;
use std::io::{self, Cursor, IsTerminal, Write};
use std::path::{Path, PathBuf};

use crate::engine::policy::Policy;
use crate::engine::time::{Timestamp, Utc};
use clap::{Args, ValueEnum};
use terminal_size::terminal_size;

use course::Course;
use line::{Mistake, Record, mistake};
use source::{Fault, LINE_BYTES_MAX, Source};

/// A line may be so much older than one before it: workers write side by side, and a log has its
/// lines in the order in which calls ended.
const LATE_MS_MAX: u64 = 60_000;
/// A file covers a day or a week; a longer time in it is a mistake in one of its times.
const SPAN_MS_MAX: u64 = 31 * 86_400_000;
const COLUMNS: usize = 80;

/// Replays recorded outcomes through the filter's own breakers and says what it would have decided.
///
/// Prints each breaker's moves, each switch and failback, how long each gateway was in use, and
/// how many payments would have gone elsewhere. Exits with 1 if the filter would have switched.
#[derive(Debug, Args)]
#[command(after_long_help = help::TEXT)]
pub(crate) struct Options {
    /// The filter's configuration in JSON or YAML, or an Envoy bootstrap that holds it.
    #[arg(long, value_name = "CONFIG")]
    config: PathBuf,

    /// Where heartbeats come from.
    #[arg(long, value_enum, default_value_t = Heartbeats::Good)]
    heartbeats: Heartbeats,

    /// Text for people, or one JSON document for machines.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,

    /// Columns of the timeline; that of the terminal unless given.
    #[arg(long, value_name = "COLUMNS", value_parser = clap::value_parser!(u16).range(20..=1000))]
    width: Option<u16>,

    /// JSON Lines: recorded outcomes, or the access log; `-` for standard input.
    outcomes: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Heartbeats {
    /// A gateway whose heartbeats the file does not tell is taken to be up.
    Good,
    /// Only those in the file: a later gateway without them is no failover target.
    Recorded,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

/// Why there is nothing to tell.
#[derive(Debug)]
pub(crate) enum Error {
    Config { path: PathBuf, reason: String },
    Read { path: PathBuf, error: io::Error },
    Line { path: PathBuf, line: u64, mistake: Mistake },
    Empty { path: PathBuf },
    Write(io::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config { path, reason } => write!(f, "--config {}: {reason}", path.display()),
            Self::Read { path, error } => write!(f, "{}: {error}", path.display()),
            Self::Line { path, line, mistake: Mistake { expected, found } } => {
                write!(f, "{}:{line}: expected {expected}, found {found}", path.display())
            }
            Self::Empty { path } => {
                write!(f, "{}: expected outcomes, found an empty file", path.display())
            }
            Self::Write(error) => write!(f, "standard output: {error}"),
        }
    }
}

impl std::error::Error for Error {}

/// Lines by what they were.
#[derive(Default)]
struct Lines {
    all: u64,
    outcomes: u64,
    heartbeats: u64,
    nothing: u64,
    /// Older than a line before them.
    late: u64,
    late_ms_max: u64,
}

/// Replays; tells whether the filter would have switched.
pub(crate) fn run(options: &Options) -> Result<bool, Error> {
    let policy = settings::read(&options.config)
        .map_err(|reason| Error::Config { path: options.config.clone(), reason })?;
    let path = &options.outcomes;
    let mut source =
        Source::open(path).map_err(|error| Error::Read { path: path.clone(), error })?;
    let result = replay(path, &mut source, &policy, options.heartbeats);
    source.clear_progress();
    let (course, lines) = result?;
    let width = options.width.map(usize::from).unwrap_or_else(columns);
    let mut out = io::BufWriter::new(io::stdout().lock());
    let written = match options.format {
        Format::Text => story::tell(&mut out, &course, &lines, width),
        Format::Json => story::tell_json(&mut out, &course, &lines, width),
    };
    match written.and_then(|()| out.flush()) {
        // Whoever closed the pipe has seen enough.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Error::Write(error)),
        Ok(()) | Err(_) => Ok(course.failovers + course.failbacks > 0),
    }
}

/// What `replay` says of this content of an access log or file of outcomes, in every form it has.
///
/// # Errors
/// What is wrong with the configuration or with a line.
pub fn told(config: &[u8], outcomes: &[u8]) -> Result<Vec<u8>, String> {
    let policy = settings::parse(config)?;
    let mut source = Source::over(Box::new(Cursor::new(outcomes.to_vec())));
    let replayed = replay(Path::new("-"), &mut source, &policy, Heartbeats::Recorded);
    let (course, lines) = replayed.map_err(|error| error.to_string())?;
    let mut out = Vec::new();
    let forms = story::tell(&mut out, &course, &lines, COLUMNS)
        .and_then(|()| story::tell_json(&mut out, &course, &lines, COLUMNS));
    forms.map(|()| out).map_err(|error| error.to_string())
}

fn columns() -> usize {
    let width = io::stdout().is_terminal().then(terminal_size).flatten();
    width.map_or(COLUMNS, |(width, _)| usize::from(width.0).clamp(20, 1000))
}

fn replay<'p>(
    path: &Path,
    source: &mut Source,
    policy: &'p Policy,
    heartbeats: Heartbeats,
) -> Result<(Course<'p>, Lines), Error> {
    let mut lines = Lines::default();
    let mut course: Option<Course<'p>> = None;
    loop {
        let line = match source.next() {
            None => break,
            Some(Ok(line)) => line::parse(line, policy),
            Some(Err(Fault::Io(error))) => {
                return Err(Error::Read { path: path.to_owned(), error });
            }
            Some(Err(Fault::Long)) => {
                Err(mistake(format!("a line of at most {LINE_BYTES_MAX} bytes"), "a longer one"))
            }
        };
        let number = source.number;
        let wrong = |mistake| Error::Line { path: path.to_owned(), line: number, mistake };
        let record = line.map_err(wrong)?;
        let (Record::Outcome(line::Outcome { at, .. })
        | Record::Heartbeat { at, .. }
        | Record::Nothing { at }) = record;
        let course =
            course.get_or_insert_with(|| Course::new(policy, at, heartbeats == Heartbeats::Good));
        lines.all += 1;
        check_order(at, course, &mut lines).map_err(wrong)?;
        course.advance(at);
        match record {
            Record::Outcome(outcome) => {
                lines.outcomes += 1;
                course.ended(&outcome, number);
            }
            Record::Heartbeat { gateway, good, .. } => {
                lines.heartbeats += 1;
                course.beaten(gateway, good, number);
            }
            Record::Nothing { .. } => lines.nothing += 1,
        }
    }
    let mut course = course.ok_or_else(|| Error::Empty { path: path.to_owned() })?;
    course.settle();
    Ok((course, lines))
}

/// A line that is a little late happens when it is read; one that is very late, or far ahead, is
/// in the wrong file or place.
fn check_order(at: Timestamp, course: &Course<'_>, lines: &mut Lines) -> Result<(), Mistake> {
    let late = course.now.since(at).get();
    if late > LATE_MS_MAX {
        let expected = format!("lines in the order of their times, at most {LATE_MS_MAX} ms late");
        return Err(mistake(expected, &format!("one {late} ms late")));
    }
    if at.since(course.from).get() > SPAN_MS_MAX {
        let expected = format!("at most 31 days after the first line ({})", Utc(course.from));
        return Err(mistake(expected, &Utc(at).to_string()));
    }
    if late > 0 {
        lines.late += 1;
        lines.late_ms_max = lines.late_ms_max.max(late);
    }
    Ok(())
}
