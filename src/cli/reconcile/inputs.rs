//! All lines of all sources, one after the other.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use super::entries::{ByKey, front};
use super::gateways::Gateways;
use super::references::References;
use super::row::{By, Place, Row, Said, Source};
use super::sheet::{Columns, Sheet, SheetFile};
use super::{Error, Options};
use crate::cli::entry::Entry;
use crate::cli::lines::{self, Forward};
use crate::cli::times;

/// Where payments are spoken of.
pub(super) struct Inputs {
    pub(super) trail: Trail,
    pub(super) sheets: Sheets,
}

/// What stands in lines of text.
pub(super) struct Trail {
    audit: Vec<PathBuf>,
    intents: Vec<PathBuf>,
    pub(super) gateways: Gateways,
    references: References,
}

/// What stands in tables.
pub(super) struct Sheets {
    /// Each with the bit of its gateway; the ledger with none.
    all: Vec<(PathBuf, Source, u16)>,
    columns: Columns,
    ledger: Columns,
    references: References,
    /// How many files there are before them.
    before: usize,
}

/// How many lines there were of each kind.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) entries: u64,
    pub(super) lines: u64,
}

impl Inputs {
    pub(super) fn new(options: &Options, columns: Columns, ledger: Columns) -> Result<Self, Error> {
        let mut gateways = Gateways::default();
        let mut all = Vec::new();
        for named in &options.gateway {
            let (name, path) = named.split_once('=').ok_or_else(|| {
                Error::Usage(format!("--gateway: expected NAME=FILE, found {named:?}"))
            })?;
            let bit = gateways.bits(name);
            if bit == 0 {
                let found = format!("--gateway: expected at most 16 gateways, found {name:?}");
                return Err(Error::Usage(found));
            }
            all.push((PathBuf::from(path), Source::Gateway, bit));
        }
        all.extend(options.ledger.iter().map(|path| (path.clone(), Source::Ledger, 0)));
        let (audit, intents) = (options.audit.clone(), options.intents.clone());
        let (before, references) =
            (audit.len() + intents.len(), References::read(options.pepper.as_deref())?);
        let sheets = Sheets { all, columns, ledger, references: references.clone(), before };
        Ok(Self { trail: Trail { audit, intents, gateways, references }, sheets })
    }

    /// The merchant's reference in the line at each of these places, which are in their order.
    pub(super) fn references(&self, places: &[Place]) -> Result<Vec<String>, Error> {
        let texts: Vec<&PathBuf> = self.trail.audit.iter().chain(&self.trail.intents).collect();
        let mut references = Vec::with_capacity(places.len());
        for of_file in places.chunk_by(|one, other| one.file() == other.file()) {
            let number = of_file.first().map_or(0, |place| place.file());
            let sheet = number.checked_sub(texts.len());
            let sheet = sheet.map(|number| self.sheets.open(number)).transpose()?;
            let path = sheet.as_ref().map(|(path, _)| path).or_else(|| texts.get(number).copied());
            let Some(path) = path else {
                continue;
            };
            let mut file = Forward::open(path).map_err(unread(path))?;
            for place in of_file {
                let line = file.line(place.offset()).map_err(unread(path))?;
                references.push(match &sheet {
                    Some((_, sheet)) => sheet.reference_at(line.as_slice()),
                    None => reference_of(&line),
                });
            }
        }
        Ok(references)
    }
}

impl Trail {
    /// Hands over each row.
    pub(super) fn each(
        &mut self,
        by_key: &mut ByKey,
        take: &mut impl FnMut(Row),
    ) -> Result<Counts, Error> {
        let mut counts = Counts::default();
        let (gateways, references) = (&mut self.gateways, &self.references);
        let mut is_unknown = false;
        for (number, path) in self.audit.iter().enumerate() {
            each_line(path, &mut |at, line| {
                if let Some(entry) = Entry::read(line) {
                    counts.entries += 1;
                    is_unknown |= references.is_unknown(&entry.reference);
                    let place = Place::new(number, at);
                    let row = by_key.take(&entry, place, gateways, references);
                    row.into_iter().for_each(&mut *take);
                }
            })?;
        }
        for (number, path) in (self.audit.len()..).zip(&self.intents) {
            each_line(path, &mut |at, line| {
                counts.lines += 1;
                let row = intent(line, Place::new(number, at), gateways, references);
                row.into_iter().for_each(&mut *take);
            })?;
        }
        if is_unknown {
            let told =
                "the references in the trail are hashed: give the filter's audit.pepper (--pepper)";
            return Err(Error::Usage(told.to_owned()));
        }
        Ok(counts)
    }
}

impl Sheets {
    /// Hands over each row; tells how many lines there were.
    pub(super) fn each(&self, take: &mut impl FnMut(Row)) -> Result<u64, Error> {
        let mut lines = 0;
        for number in 0..self.all.len() {
            let (path, mut sheet) = self.open(number)?;
            while let Some(row) = sheet.next() {
                lines += 1;
                take(row.map_err(|mistake| Error::Line { path: path.clone(), mistake })?);
            }
        }
        Ok(lines)
    }

    /// The bits of the gateways whose reports are there, and whether the ledger is.
    pub(super) fn reported(&self) -> (u16, bool) {
        let bits = self.all.iter().fold(0, |bits, (_, _, bit)| bits | bit);
        (bits, self.all.iter().any(|(_, source, _)| *source == Source::Ledger))
    }

    fn open(&self, number: usize) -> Result<(PathBuf, Sheet), Error> {
        let Some((path, source, bit)) = self.all.get(number) else {
            return Err(Error::Sort("a row of no file".to_owned()));
        };
        let columns = if *source == Source::Ledger { &self.ledger } else { &self.columns };
        let file = SheetFile { source: *source, gateway: *bit, number: self.before + number };
        let sheet = Sheet::open(open(path)?, columns, file, self.references.clone());
        let sheet = sheet.map_err(|mistake| Error::Line { path: path.clone(), mistake })?;
        Ok((path.clone(), sheet))
    }
}

/// The reference in an entry, or in an intent.
fn reference_of(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    let json = text.split_once("audit intent ").map_or(&*text, |(_, json)| json);
    let mut entries = serde_json::Deserializer::from_str(json).into_iter::<Entry<'_>>();
    let reference = entries.next().and_then(|entry| Some(entry.ok()?.reference.into_owned()));
    reference.unwrap_or_default()
}

/// What Envoy's log says before a payment goes.
fn intent(
    line: &[u8],
    place: Place,
    gateways: &mut Gateways,
    references: &References,
) -> Option<Row> {
    let text = String::from_utf8_lossy(line);
    let (_, json) = text.split_once("audit intent ")?;
    let mut entries = serde_json::Deserializer::from_str(json).into_iter::<Entry<'_>>();
    let entry = entries.next()?.ok()?;
    // A cancel or refund has a reference of its own.
    if entry.reference.is_empty() || !entry.of.is_empty() {
        return None;
    }
    Some(Row {
        id: references.id(&entry.reference),
        source: Source::Intent,
        place,
        said: Said::Nothing,
        gateways: gateways.bits(&entry.gateways),
        amount: None,
        currency: [0; 3],
        time: times::millis(&entry.time).unwrap_or_default(),
        by: By::Nothing,
        own: front(&entry.key)?,
    })
}

fn unread(path: &Path) -> impl Fn(std::io::Error) -> Error + '_ {
    |error| Error::Read { path: path.to_owned(), error }
}

/// Hands over each line, and the byte that it begins at.
fn each_line(path: &Path, take: &mut impl FnMut(u64, &[u8])) -> Result<(), Error> {
    let source = lines::Source::open(path).map_err(unread(path))?;
    let read =
        lines::each(source, |line| line.bytes.into_iter().for_each(|bytes| take(line.at, bytes)));
    read.map_err(unread(path))
}

fn open(path: &Path) -> Result<Box<dyn BufRead>, Error> {
    let file = File::open(path).map_err(unread(path))?;
    Ok(Box::new(BufReader::with_capacity(1 << 18, file)))
}
