//! Reports of gateways and the merchant's ledger: CSV or JSON Lines, read column by column.

mod json_lines;

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::io::{BufRead, Read};

use csv::{ByteRecord, Reader, ReaderBuilder};
use json_lines::JsonLines;

use super::entries::currency;
use super::references::References;
use super::row::{By, Id, Place, Row, Said, Source, id};
use crate::cli::{money, times};

/// Which columns a sheet has, by their names in its first line.
#[derive(Clone, Debug)]
pub(super) struct Columns {
    reference: String,
    amount: String,
    currency: String,
    kind: String,
    number: String,
    time: String,
    status: String,
    /// Those that somebody has named: they must be there.
    named: Vec<String>,
}

impl Columns {
    /// As DANA's settlement reports call them.
    pub(super) fn of_gateway() -> Self {
        Self {
            reference: "partnerReferenceNo".into(),
            amount: "amount".into(),
            currency: "currency".into(),
            kind: "transactionType".into(),
            number: "referenceNo".into(),
            time: "transactionDate".into(),
            status: "status".into(),
            named: Vec::new(),
        }
    }

    pub(super) fn of_ledger() -> Self {
        Self { reference: "reference".into(), ..Self::of_gateway() }
    }

    /// With other names: `reference=orderId,amount=gross`.
    ///
    /// # Errors
    /// What is no column of ours.
    pub(super) fn with(mut self, text: &str) -> Result<Self, String> {
        for pair in text.split(',').filter(|pair| !pair.is_empty()) {
            let (ours, theirs) = pair
                .split_once('=')
                .ok_or_else(|| format!("expected NAME=COLUMN, found {pair:?}"))?;
            let column = match ours.trim() {
                "reference" => &mut self.reference,
                "amount" => &mut self.amount,
                "currency" => &mut self.currency,
                "type" => &mut self.kind,
                "number" => &mut self.number,
                "time" => &mut self.time,
                "status" => &mut self.status,
                _ => {
                    return Err(format!(
                        "expected one of reference, amount, currency, type, number, time, status, found {ours:?}"
                    ));
                }
            };
            theirs.trim().clone_into(column);
            self.named.push(theirs.trim().to_owned());
        }
        Ok(self)
    }
}

impl Columns {
    /// In the order of [`Places::of_json`].
    fn names(&self) -> Vec<String> {
        let Self { reference, amount, currency, kind, number, time, status, .. } = self.clone();
        vec![reference, amount, currency, kind, number, time, status]
    }
}

/// What is wrong with a line.
#[derive(Debug)]
pub(crate) struct Mistake {
    pub(super) line: u64,
    pub(super) expected: String,
    pub(super) found: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: expected {}, found {}", self.line, self.expected, self.found)
    }
}

/// A sheet that is being read.
pub(super) struct Sheet {
    reader: SheetReader,
    record: ByteRecord,
    places: Places,
    file: SheetFile,
    references: References,
}

/// Which sheet it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct SheetFile {
    pub(super) source: Source,
    /// The bit of its gateway; the ledger has none.
    pub(super) gateway: u16,
    /// Which of all files it is.
    pub(super) number: usize,
}

enum SheetReader {
    Csv(Reader<Box<dyn BufRead>>),
    Json(JsonLines),
}

struct Places {
    reference: usize,
    amount: Option<usize>,
    currency: Option<usize>,
    kind: Option<usize>,
    number: Option<usize>,
    time: Option<usize>,
    status: Option<usize>,
}

impl Places {
    /// A record of JSON has all of them, in this order; those that its first line has not are nowhere.
    fn of_json(reader: &JsonLines) -> Self {
        let place = |place| Some(place).filter(|place| reader.has(*place));
        Self {
            reference: 0,
            amount: place(1),
            currency: place(2),
            kind: place(3),
            number: place(4),
            time: place(5),
            status: place(6),
        }
    }
}

impl Sheet {
    /// Reads its first line.
    ///
    /// # Errors
    /// When the column of references or amounts is not there.
    pub(super) fn open(
        mut file: Box<dyn BufRead>,
        columns: &Columns,
        about: SheetFile,
        references: References,
    ) -> Result<Self, Mistake> {
        let unread = |error: io::Error| Mistake {
            line: 1,
            expected: "CSV or JSON Lines".to_owned(),
            found: error.to_string(),
        };
        if JsonLines::is(&mut file).map_err(unread)? {
            return Self::of_objects(file, columns, about, references);
        }
        let mut reader = ReaderBuilder::new().flexible(true).from_reader(file);
        let heads = reader.headers().map_err(|error| unreadable(&error))?.clone();
        let place = |name: &str| {
            heads.iter().position(|head| {
                head.trim().trim_start_matches('\u{feff}').eq_ignore_ascii_case(name)
            })
        };
        let missing = |name: &str| Mistake {
            line: 1,
            expected: format!("a column {name:?} (--columns names others)"),
            found: heads.iter().collect::<Vec<_>>().join(","),
        };
        if let Some(name) = columns.named.iter().find(|name| place(name).is_none()) {
            return Err(missing(name));
        }
        let reference = place(&columns.reference).ok_or_else(|| missing(&columns.reference))?;
        let amount = place(&columns.amount);
        if amount.is_none() && about.source == Source::Gateway {
            return Err(missing(&columns.amount));
        }
        let [currency, kind, number, time, status] =
            [&columns.currency, &columns.kind, &columns.number, &columns.time, &columns.status]
                .map(|name| place(name));
        let places = Places { reference, amount, currency, kind, number, time, status };
        let reader = SheetReader::Csv(reader);
        Ok(Self { reader, record: ByteRecord::new(), places, file: about, references })
    }

    fn of_objects(
        file: Box<dyn BufRead>,
        columns: &Columns,
        about: SheetFile,
        references: References,
    ) -> Result<Self, Mistake> {
        let names = columns.names();
        let reader = JsonLines::new(file, names.clone())?;
        let needs = |name: &String| {
            let is_amount = *name == columns.amount && about.source == Source::Gateway;
            *name == columns.reference || is_amount || columns.named.contains(name)
        };
        let missing = (0..).zip(&names).find(|(place, name)| needs(name) && !reader.has(*place));
        if let Some((_, name)) = missing {
            let expected = format!("a member {name:?} (--columns names others)");
            return Err(Mistake { line: 1, expected, found: "none".to_owned() });
        }
        let places = Places::of_json(&reader);
        let reader = SheetReader::Json(reader);
        Ok(Self { reader, record: ByteRecord::new(), places, file: about, references })
    }

    /// The reference in the line at this place of the same file.
    pub(super) fn reference_at(&self, line: impl Read) -> String {
        let mut record = ByteRecord::new();
        match &self.reader {
            SheetReader::Json(reader) => reader.read_one(line, &mut record),
            SheetReader::Csv(_) => {
                let mut builder = ReaderBuilder::new();
                let mut reader = builder.has_headers(false).flexible(true).from_reader(line);
                let _ = reader.read_byte_record(&mut record);
            }
        }
        let bytes = record.get(self.places.reference).unwrap_or_default();
        String::from_utf8_lossy(bytes).trim().to_owned()
    }

    fn cell(&self, place: Option<usize>) -> Cow<'_, str> {
        let bytes = place.and_then(|place| self.record.get(place)).unwrap_or_default();
        String::from_utf8_lossy(bytes.trim_ascii())
    }

    /// The next line.
    pub(super) fn next(&mut self) -> Option<Result<Row, Mistake>> {
        let read = match &mut self.reader {
            SheetReader::Csv(reader) => {
                reader.read_byte_record(&mut self.record).map_err(|error| unreadable(&error))
            }
            SheetReader::Json(reader) => reader.read(&mut self.record),
        };
        match read {
            Ok(true) => Some(self.row()),
            Ok(false) => None,
            Err(mistake) => Some(Err(mistake)),
        }
    }

    fn place(&self) -> Place {
        Place::new(self.file.number, self.record.position().map_or(0, csv::Position::byte))
    }

    /// The gateway's own number; where it has none, each line is one of its own.
    fn number(&self) -> Id {
        match &*self.cell(self.places.number) {
            "" => id(&format!("{:?}", self.place())),
            number => id(number),
        }
    }

    fn mistake(&self, expected: &str, found: &str) -> Mistake {
        let line = self.record.position().map_or(1, csv::Position::line);
        Mistake { line, expected: expected.to_owned(), found: format!("{found:?}") }
    }

    fn row(&self) -> Result<Row, Mistake> {
        let written = self.cell(self.places.amount);
        let amount = money::parse(&written);
        let needs = self.file.source == Source::Gateway || !written.is_empty();
        if amount.is_none() && needs {
            return Err(self.mistake("an amount such as 10000.00", &written));
        }
        let status = self.cell(self.places.status);
        // Where a sheet tells of statuses, one without is no execution: nobody knows what it is.
        let tells = self.places.status.is_some();
        let said = said(&status).filter(|_| !tells || !status.is_empty());
        let said = said.ok_or_else(|| self.mistake(STATUSES, &status))?;
        let is_refund = amount.is_some_and(|amount| amount < 0)
            || self.cell(self.places.kind).to_ascii_lowercase().contains("refund");
        let said = if is_refund && said == Said::Executed { Said::Refunded } else { said };
        let reference = self.cell(Some(self.places.reference));
        // Money that nobody knows is counted too.
        let own_id =
            if reference.is_empty() { self.number() } else { self.references.id(&reference) };
        Ok(Row {
            id: own_id,
            source: self.file.source,
            place: self.place(),
            said,
            gateways: self.file.gateway,
            amount: amount.map(i64::saturating_abs),
            currency: currency(&self.cell(self.places.currency)),
            time: times::millis(&self.cell(self.places.time)).unwrap_or_default(),
            by: By::Nothing,
            own: self.number(),
        })
    }
}

const STATUSES: &str = "a status: success, successful, settled, paid, executed, completed, 00; pending, \
                        processing, 01, 02, 03; failed, cancelled, canceled, rejected, expired, closed, \
                        refunded, 05, 06, 07";

/// Without a status everything in a report was executed.
fn said(status: &str) -> Option<Said> {
    Some(match status.to_ascii_lowercase().as_str() {
        "" | "success" | "successful" | "settled" | "paid" | "executed" | "completed" | "00" => {
            Said::Executed
        }
        "pending" | "processing" | "01" | "02" | "03" => Said::Nothing,
        "failed" | "cancelled" | "canceled" | "rejected" | "expired" | "closed" | "refunded"
        | "05" | "06" | "07" => Said::NotExecuted,
        _ => return None,
    })
}

fn unreadable(error: &csv::Error) -> Mistake {
    let line = error.position().map_or(1, csv::Position::line);
    Mistake { line, expected: "CSV".to_owned(), found: error.to_string() }
}
