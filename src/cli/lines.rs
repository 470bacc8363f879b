//! A file, line by line, with a bound on each: it may be larger than memory and may be noise. What is
//! packed with gzip is unpacked on the way.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Read, Write};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

/// Far above any line of ours; what is longer is no line but a mistake.
pub(crate) const LINE_BYTES_MAX: usize = 65_536;

/// Lines between two looks at how far it is: a few milliseconds.
const STRIDE: u64 = 8192;

/// How a file begins that gzip has packed (RFC 1952).
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Bytes that are read at a time.
const BUFFER_BYTES: usize = 1 << 18;

/// Where lines come from, and how far it is.
pub(crate) struct Source<'a> {
    reader: Box<dyn BufRead + 'a>,
    line: Vec<u8>,
    /// Of the line that was read last, from one.
    number: u64,
    /// Bytes of the whole, where that is known.
    size: Option<u64>,
    read: u64,
    shows: bool,
    /// The rest of a line that is too long is still to be passed over.
    is_long: bool,
}

/// What is in a file, unpacked if gzip has packed it, and whether it has.
fn unpacked(mut file: BufReader<File>) -> io::Result<(Box<dyn BufRead>, bool)> {
    if file.fill_buf()?.starts_with(&GZIP) {
        let decoder = MultiGzDecoder::new(file);
        return Ok((Box::new(BufReader::with_capacity(BUFFER_BYTES, decoder)), true));
    }
    Ok((Box::new(file), false))
}

/// A line of a file.
pub(crate) struct Line<'a> {
    /// From one.
    pub(crate) number: u64,
    /// The byte of what is unpacked that it begins at.
    pub(crate) at: u64,
    /// None for one that is too long.
    pub(crate) bytes: Option<&'a [u8]>,
}

/// Hands over each line, as it stands there.
pub(crate) fn each(mut source: Source<'_>, mut take: impl FnMut(Line<'_>)) -> io::Result<()> {
    loop {
        let (number, is_whole) = match source.next_whole() {
            None => return Ok(()),
            Some((number, Ok(_))) => (number, true),
            Some((number, Err(Fault::Long))) => (number, false),
            Some((_, Err(Fault::Io(error)))) => return Err(error),
        };
        let (at, line) = source.last();
        take(Line { number, at, bytes: is_whole.then_some(line) });
    }
}

/// A file whose lines are read by where they begin, later ones after earlier ones.
pub(crate) struct Forward {
    file: ForwardFile,
    /// How far it is, in bytes of what is unpacked.
    at: u64,
}

enum ForwardFile {
    Plain(BufReader<File>),
    /// What gzip has packed.
    Packed(Box<dyn BufRead>),
}

impl Forward {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let mut file = BufReader::new(File::open(path)?);
        if file.fill_buf()?.starts_with(&GZIP) {
            return Ok(Self { file: ForwardFile::Packed(unpacked(file)?.0), at: 0 });
        }
        Ok(Self { file: ForwardFile::Plain(file), at: 0 })
    }

    /// The line that begins at this byte of what is unpacked.
    pub(crate) fn line(&mut self, offset: u64) -> io::Result<Vec<u8>> {
        let mut line = Vec::new();
        let most = LINE_BYTES_MAX as u64;
        let between = offset.saturating_sub(self.at);
        let read = match &mut self.file {
            // What is in its buffer is not read again.
            ForwardFile::Plain(file) => {
                file.seek_relative(i64::try_from(between).unwrap_or(i64::MAX))?;
                file.by_ref().take(most).read_until(b'\n', &mut line)?
            }
            ForwardFile::Packed(reader) => {
                io::copy(&mut reader.by_ref().take(between), &mut io::sink())?;
                reader.by_ref().take(most).read_until(b'\n', &mut line)?
            }
        };
        self.at += between + read as u64;
        Ok(line)
    }
}

/// Why there is no next line.
pub(crate) enum Fault {
    Io(io::Error),
    Long,
}

impl<'a> Source<'a> {
    /// Opens a file, or standard input for `-`.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let (reader, size): (Box<dyn BufRead>, _) = if path == Path::new("-") {
            (Box::new(io::stdin().lock()), None)
        } else {
            let file = File::open(path)?;
            let about = file.metadata()?;
            if about.is_dir() {
                return Err(io::Error::other("expected a file, found a directory"));
            }
            let (reader, is_packed) = unpacked(BufReader::with_capacity(BUFFER_BYTES, file))?;
            (reader, Some(about.len()).filter(|_| about.is_file() && !is_packed))
        };
        let shows = io::stderr().is_terminal();
        Ok(Self { size, shows, ..Self::over(reader) })
    }

    /// Content that is at hand.
    pub(crate) fn over(reader: Box<dyn BufRead + 'a>) -> Self {
        Self {
            reader,
            line: Vec::new(),
            number: 0,
            size: None,
            read: 0,
            shows: false,
            is_long: false,
        }
    }

    /// The next line that is not blank, without white space around it; and its number, from one.
    pub(crate) fn next(&mut self) -> Option<(u64, Result<&[u8], Fault>)> {
        let (number, line) = self.next_whole()?;
        Some((number, line.map(<[u8]>::trim_ascii)))
    }

    /// The same as it stands there, without its line feed.
    pub(crate) fn next_whole(&mut self) -> Option<(u64, Result<&[u8], Fault>)> {
        if std::mem::take(&mut self.is_long)
            && let Err(error) = self.reader.skip_until(b'\n')
        {
            return Some((self.number, Err(Fault::Io(error))));
        }
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
            self.is_long = !self.ends(read);
            if self.line.trim_ascii().len() > LINE_BYTES_MAX || self.is_long {
                return Some((self.number, Err(Fault::Long)));
            }
            if !self.line.trim_ascii().is_empty() {
                let line = self.line.strip_suffix(b"\n").unwrap_or(&self.line);
                return Some((self.number, Ok(line)));
            }
        }
    }

    /// Whether what was read is a whole line and not the first part of one.
    fn ends(&self, read: usize) -> bool {
        self.line.ends_with(b"\n") || read < LINE_BYTES_MAX + 2
    }

    /// The line that was read last, and where it begins, in bytes of what is unpacked.
    pub(crate) fn last(&self) -> (u64, &[u8]) {
        let line = self.line.strip_suffix(b"\n").unwrap_or(&self.line);
        (self.read - self.line.len() as u64, line)
    }

    fn show_progress(&self) {
        let part = self.size.filter(|size| *size > 0).map(|size| self.read * 100 / size);
        let part = part.map_or_else(String::new, |part| format!("{:>3}%, ", part.min(100)));
        // It is for the eye alone.
        let _ = write!(io::stderr(), "\r{part}{} lines", self.number);
    }

    /// Leaves the terminal as it was.
    pub(crate) fn clear_progress(&self) {
        if self.shows && self.number >= STRIDE {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
