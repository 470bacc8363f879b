//! `dana-failover replay`: what would these thresholds have done with these outcomes?

mod access;
mod clock;
mod course;
mod help;
mod line;
mod settings;
mod story;
mod timeline;
mod wrapping;

use std::fmt;
use std::io::{self, Cursor, IsTerminal, Write};
use std::path::{Path, PathBuf};

use super::lines::{Fault, LINE_BYTES_MAX, Source};
use crate::engine::Policy;
use crate::engine::{Timestamp, Utc};
use clap::{Args, ValueEnum};
use terminal_size::terminal_size;

use course::Course;
use line::{Mistake, Record, mistake};
use wrapping::{Line, Wrapping};

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

    /// JSON Lines: recorded outcomes, or the access log, also as Docker and Kubernetes print it;
    /// `-` for standard input.
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
    Foreign { path: PathBuf, skipped: Skipped },
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
            Self::Foreign { path, skipped } => write!(
                f,
                "{}: expected outcomes, or the access log of the payments' listener as \
                 envoy/envoy.yaml writes it, found {skipped}",
                path.display()
            ),
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
    skipped: Skipped,
}

/// Lines that were passed over because they tell no outcome.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Skipped {
    /// Of Envoy's own log.
    envoys: u64,
    /// Of the operators' listener.
    operators: u64,
    /// Of anything else that is no JSON, and the number of the first of them.
    text: u64,
    first_text: Option<u64>,
    /// Lines in parts whose end is not in the file.
    unfinished: u64,
}

impl Skipped {
    const fn all(&self) -> u64 {
        self.envoys + self.operators + self.text + self.unfinished
    }
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first =
            self.first_text.map_or_else(String::new, |line| format!(" (first: line {line})"));
        let kinds = [
            (self.envoys, "of Envoy's own log", String::new()),
            (self.operators, "of the operators' listener", String::new()),
            (self.text, "of other text", first),
            (self.unfinished, "without their end", String::new()),
        ];
        let told: Vec<String> = kinds
            .into_iter()
            .filter(|(count, ..)| *count > 0)
            .map(|(count, what, where_)| format!("{count} {what}{where_}"))
            .collect();
        let plural = if self.all() == 1 { "" } else { "s" };
        write!(f, "{} line{plural}: {}", self.all(), told.join(", "))
    }
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
    source: &mut Source<'_>,
    policy: &'p Policy,
    heartbeats: Heartbeats,
) -> Result<(Course<'p>, Lines), Error> {
    let mut lines = Lines::default();
    let mut course: Option<Course<'p>> = None;
    let mut wrapping = Wrapping::default();
    while let Some((number, line)) = source.next() {
        let line = match line {
            Ok(line) => wrapping.take(line),
            Err(Fault::Io(error)) => {
                return Err(Error::Read { path: path.to_owned(), error });
            }
            Err(Fault::Long) => Line::Long,
        };
        let wrong = |mistake| Error::Line { path: path.to_owned(), line: number, mistake };
        let Some(record) = lines.sort(&line, number, policy).map_err(wrong)? else { continue };
        let (Record::Outcome(line::Outcome { at, .. })
        | Record::Heartbeat { at, .. }
        | Record::Nothing { at }) = record
        else {
            lines.skipped.operators += 1;
            continue;
        };
        let course =
            course.get_or_insert_with(|| Course::new(policy, at, heartbeats == Heartbeats::Good));
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
            Record::Nothing { .. } | Record::Operators => lines.nothing += 1,
        }
    }
    lines.skipped.unfinished = wrapping.unfinished();
    let none = || match lines.skipped {
        skipped if skipped.all() > 0 => Error::Foreign { path: path.to_owned(), skipped },
        _ => Error::Empty { path: path.to_owned() },
    };
    let mut course = course.ok_or_else(none)?;
    course.settle();
    Ok((course, lines))
}

impl Lines {
    /// Counts a line, and reads it if it may tell something.
    fn sort(
        &mut self,
        line: &Line<'_>,
        number: u64,
        policy: &Policy,
    ) -> Result<Option<Record>, Mistake> {
        self.all += u64::from(!matches!(line, Line::Part | Line::Blank));
        match line {
            Line::Json(json) => return line::parse(json, policy).map(Some),
            Line::Long => {
                let expected = format!("a line of at most {LINE_BYTES_MAX} bytes");
                return Err(mistake(expected, "a longer one"));
            }
            Line::Envoys => self.skipped.envoys += 1,
            Line::Text => {
                self.skipped.text += 1;
                self.skipped.first_text.get_or_insert(number);
            }
            Line::Part | Line::Blank => {}
        }
        Ok(None)
    }
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
