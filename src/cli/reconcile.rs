//! `dana-failover reconcile`: do the audit trail, the gateways' reports and the merchant's ledger agree, to
//! the last rupiah?

mod account;
mod entries;
mod gateways;
mod inputs;
mod page;
mod references;
mod row;
mod sheet;
mod sorted;
mod state;
mod told;
mod verdict;

use std::fmt;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use account::Account;
use inputs::Inputs;
use sheet::{Columns, Mistake};

pub use state::State;

/// Compares what the audit trail says of payments with what the gateways report, and with the merchant's
/// ledger.
///
/// Each payment is told apart by the merchant's reference alone, as in the reports. Whatever is wrong with one is named, with its
/// money. The last line proves that nobody was charged twice, or names who was. Exits with 1 if a person
/// is needed.
#[derive(Debug, Args)]
#[command(arg_required_else_help = true, after_long_help = AFTER)]
pub(crate) struct Options {
    /// The audit trail, rotated and packed files too, of all Envoys. Verify it first: `audit verify`.
    #[arg(required = true, value_name = "AUDIT")]
    audit: Vec<PathBuf>,

    /// A gateway's report of what it has executed, as NAME=FILE: CSV, or JSON Lines. May be given more than
    /// once, also for one gateway.
    #[arg(long, required = true, value_name = "NAME=FILE")]
    gateway: Vec<String>,

    /// The merchant's ledger: CSV or JSON Lines with `reference`, `amount` and `status`.
    #[arg(long, value_name = "FILE")]
    ledger: Option<PathBuf>,

    /// Envoy's log with the intents of `audit.intents`.
    #[arg(long, value_name = "FILE")]
    intents: Vec<PathBuf>,

    /// The reports begin at this time. What was executed before it and is not in them is expected.
    #[arg(long, value_name = "TIME", value_parser = time)]
    from: Option<u64>,

    /// The reports have all payments from before this time. What is younger and not in them is expected.
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<u64>,

    /// Names of columns in the reports that are not DANA's: `reference=orderId,amount=gross`.
    #[arg(long, value_name = "NAME=COLUMN,...", default_value = "")]
    columns: String,

    /// The same for the ledger.
    #[arg(long, value_name = "NAME=COLUMN,...", default_value = "")]
    ledger_columns: String,

    /// The `audit.pepper` of the filter, in a file, where references in the trail are hashed.
    #[arg(long, value_name = "FILE")]
    pepper: Option<PathBuf>,

    /// Text for people, one JSON document, CSV with a line for each payment that a person must see, or one
    /// page of HTML.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,

    /// Where to write what POST /resolve takes for each payment in doubt that the reports prove, one JSON
    /// object a line, for a person to look through. "Not executed" needs --until, no --from, and a report
    /// of each gateway that may have it.
    #[arg(long, value_name = "FILE")]
    resolve: Option<PathBuf>,
}

const AFTER: &str = "\
Columns and what they are called unless --columns says otherwise:
  reference  partnerReferenceNo  the merchant's reference; of a refund, that of its payment
  amount     amount              10000.00; a negative one is a refund
  currency   currency            compared where both sides have one
  type       transactionType     whatever has \"refund\" in it is one
  number     referenceNo         the gateway's own number: the same line twice counts once
  time       transactionDate
  status     status              without it everything in a report was executed; an unknown one is an error
In JSON Lines they are members: amount=amount.value is the member `value` of `amount`.

Example:
  dana-failover reconcile audit.jsonl* --gateway primary=dana-a.csv --gateway secondary=dana-b.csv \\
      --ledger orders.csv --ledger-columns reference=order_id \\
      --from 2026-11-29T00:00:00+07:00 --until 2026-11-30T00:00:00+07:00";

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
    Csv,
    Html,
}

fn time(text: &str) -> Result<u64, String> {
    super::times::millis(text)
        .ok_or_else(|| "expected a time such as 2026-11-30T00:00:00+07:00".to_owned())
}

/// Why nothing can be told.
#[derive(Debug)]
pub(crate) enum Error {
    Usage(String),
    Read { path: PathBuf, error: io::Error },
    Line { path: PathBuf, mistake: Mistake },
    Sort(String),
    Write(io::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(what) => f.write_str(what),
            Self::Read { path, error } => write!(f, "{}: {error}", path.display()),
            Self::Line { path, mistake } => write!(f, "{}:{mistake}", path.display()),
            Self::Sort(error) => write!(f, "sorting in a temporary directory: {error}"),
            Self::Write(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for Error {}

/// Tells whether a person is needed.
pub(crate) fn run(options: &Options) -> Result<bool, Error> {
    let columns = Columns::of_gateway().with(&options.columns);
    let ledger = Columns::of_ledger().with(&options.ledger_columns);
    let columns = columns.map_err(|error| Error::Usage(format!("--columns: {error}")))?;
    let ledger = ledger.map_err(|error| Error::Usage(format!("--ledger-columns: {error}")))?;
    let inputs = Inputs::new(options, columns, ledger)?;
    if options.from.zip(options.until).is_some_and(|(from, until)| from >= until) {
        return Err(Error::Usage("--from: expected a time before that of --until".to_owned()));
    }
    let account = Account::of(inputs, [options.from, options.until])?;
    if account.untold > 0 {
        let told = format!("{} payments more need a person than are told", account.untold);
        // Whoever reads the output may be a machine.
        let _ = writeln!(io::stderr(), "dana-failover: {told}: take a shorter period");
        if options.resolve.is_some() {
            let resolve = "--resolve would leave some of them out";
            return Err(Error::Usage(format!("{told}: {resolve}; take a shorter period")));
        }
    }
    if let Some(path) = &options.resolve {
        let write = std::fs::File::create(path).and_then(|file| told::resolve(file, &account));
        write.map_err(|error| Error::Read { path: path.clone(), error })?;
    }
    let mut out = BufWriter::new(io::stdout().lock());
    let written = match options.format {
        Format::Text => told::text(&mut out, &account),
        Format::Json => told::json(&mut out, &account),
        Format::Csv => told::csv(&mut out, &account),
        Format::Html => page::write(&mut out, &account),
    };
    match written.and_then(|()| out.flush()) {
        // Whoever closed the pipe has seen enough.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Error::Write(error)),
        Ok(()) | Err(_) => Ok(account.needs_person()),
    }
}
