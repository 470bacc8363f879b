//! The file, line by line, with a bound on each: it may be larger than memory and may be noise.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Read, Write};
use std::path::Path;

/// Far above any line of ours; what is longer is no line but a mistake.
pub(super) const LINE_BYTES_MAX: usize = 65_536;

/// Lines between two looks at how far it is: a few milliseconds.
const STRIDE: u64 = 8192;

/// Where lines come from, and how far it is.
pub(super) struct Source {
    reader: Box<dyn BufRead>,
    line: Vec<u8>,
    /// Of the line that was read last, from one.
    number: u64,
    /// Bytes of the whole, where that is known.
    size: Option<u64>,
    read: u64,
    shows: bool,
}

/// Why there is no next line.
pub(super) enum Fault {
    Io(io::Error),
    Long,
}

impl Source {
    /// Opens a file, or standard input for `-`.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let (reader, size): (Box<dyn BufRead>, _) = if path == Path::new("-") {
            (Box::new(io::stdin().lock()), None)
        } else {
            let file = File::open(path)?;
            let about = file.metadata()?;
            if about.is_dir() {
                return Err(io::Error::other("expected a file, found a directory"));
            }
            let size = about.is_file().then_some(about.len());
            (Box::new(BufReader::with_capacity(1 << 18, file)), size)
        };
        let shows = io::stderr().is_terminal();
        Ok(Self { size, shows, ..Self::over(reader) })
    }

    /// Content that is at hand.
    pub(super) fn over(reader: Box<dyn BufRead>) -> Self {
        Self { reader, line: Vec::new(), number: 0, size: None, read: 0, shows: false }
    }

    /// The next line that is not blank, without its end; and its number, from one.
    pub(super) fn next(&mut self) -> Option<(u64, Result<&[u8], Fault>)> {
        loop {
            self.line.clear();
            let mut bounded = self.reader.by_ref().take(LINE_BYTES_MAX as u64 + 2);
            let read = match bounded.read_until(b'\n', &mut self.line) {
                Ok(0) => {
                    self.clear_progress();
                    return None;
                }
                Ok(read) => read,
                Err(error) => return Some((self.number, Err(Fault::Io(error)))),
            };
            self.number += 1;
            self.read += read as u64;
            if self.shows && self.number.is_multiple_of(STRIDE) {
                self.show_progress();
            }
            if self.line.trim_ascii().len() > LINE_BYTES_MAX || !self.ends(read) {
                return Some((self.number, Err(Fault::Long)));
            }
            if !self.line.trim_ascii().is_empty() {
                return Some((self.number, Ok(self.line.trim_ascii())));
            }
        }
    }

    /// Whether what was read is a whole line and not the first part of one.
    fn ends(&self, read: usize) -> bool {
        self.line.ends_with(b"\n") || read < LINE_BYTES_MAX + 2
    }

    fn show_progress(&self) {
        let part = self.size.filter(|size| *size > 0).map(|size| self.read * 100 / size);
        let part = part.map_or_else(String::new, |part| format!("{:>3}%, ", part.min(100)));
        // It is for the eye alone.
        let _ = write!(io::stderr(), "\r{part}{} lines", self.number);
    }

    /// Leaves the terminal as it was.
    pub(super) fn clear_progress(&self) {
        if self.shows && self.number >= STRIDE {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
