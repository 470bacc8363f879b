//! `dana-failover key`: by which key does the filter know an order?

use std::fmt;
use std::io::{self, BufRead, Write};

use clap::Args;

use crate::engine::ClaimKey;
use crate::engine::limits;
use crate::engine::{Class, Identity, Operation, dana_snap};

/// Prints the claim key of a payment, to find the order that a key in doubt belongs to.
///
/// Logs, the list of payments in doubt and the Idempotency-Key that a gateway sees name a payment by
/// a key: a hash of the partner, a namespace and the payment's identity in the body. It cannot be
/// turned back. So print the keys of the orders in question, and compare: the access log has the
/// first 40 digits, GET /in-doubt the first 32.
#[derive(Debug, Args)]
#[command(arg_required_else_help = true, after_long_help = AFTER)]
pub(crate) struct Options {
    /// The partner: the X-PARTNER-ID of the request.
    #[arg(long)]
    partner: String,

    /// The operation, as it stands in the access log.
    #[arg(long, default_value = "create-order")]
    operation: String,

    /// The identity, member by member; `-` reads one from each line of standard input, its members
    /// apart by tabs, commas or spaces, and prints key and line.
    #[arg(required = true, value_name = "IDENTITY")]
    identity: Vec<String>,
}

const AFTER: &str = "\
Identities:
  create-order, widget-pay           merchantId partnerReferenceNo
  top-up, transfer-bank              partnerReferenceNo
  cancel                             merchantId originalPartnerReferenceNo
  refund                             merchantId originalPartnerReferenceNo partnerRefundNo

Examples:
  dana-failover key --partner P1 --operation create-order 216620000000000000000 ORDER-7
  dana-failover key --partner P1 - < orders.csv | grep ^dd8338c744f7dae9";

/// Why no key is printed.
#[derive(Debug)]
pub(crate) enum Error {
    Operation { found: String },
    Members { operation: String, expected: Vec<String>, found: Vec<String> },
    Long { found: usize },
    Empty,
    Line { number: usize, error: Box<Self> },
    Stream(io::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Operation { found } => {
                let names: Vec<String> =
                    payments().map(|operation| operation.name.to_string()).collect();
                write!(f, "--operation: expected one of {}, found {found:?}", names.join(", "))
            }
            Self::Members { operation, expected, found } => {
                let (expected, found) = (expected.join(" "), found.len());
                write!(f, "{operation}: expected {expected}, found {found} values")
            }
            Self::Long { found } => {
                let most = limits::IDENTITY_CHARS_MAX;
                write!(f, "expected at most {most} characters in a value, found {found}")
            }
            Self::Empty => f.write_str("expected no empty value: the filter refuses it as well"),
            Self::Line { number, error } => write!(f, "standard input:{number}: {error}"),
            Self::Stream(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for Error {}

/// The operations whose payments have a key that follows from their body.
fn payments() -> impl Iterator<Item = Operation> {
    dana_snap().into_iter().filter(|operation| {
        let moves_money = matches!(operation.class, Class::Charge | Class::FollowUp);
        moves_money && matches!(operation.identity, Identity::Body(_))
    })
}

/// Prints the key, or one for each line.
pub(crate) fn run(options: &Options) -> Result<(), Error> {
    let found = options.operation.clone();
    let operation = payments().find(|operation| *operation.name == *options.operation);
    let operation = operation.ok_or(Error::Operation { found })?;
    let mut out = io::stdout().lock();
    if options.identity.iter().map(String::as_str).ne(["-"]) {
        let key = key(&operation, &options.partner, &options.identity)?;
        return written(writeln!(out, "{key}"));
    }
    for (at, line) in io::stdin().lock().lines().enumerate() {
        let line = line.map_err(Error::Stream)?;
        let members: Vec<String> = line
            .split(['\t', ',', ' ', '\r'])
            .filter(|member| !member.is_empty())
            .map(str::to_owned)
            .collect();
        if members.is_empty() {
            continue;
        }
        let key = key(&operation, &options.partner, &members);
        let key = key.map_err(|error| Error::Line { number: at + 1, error: Box::new(error) })?;
        written(writeln!(out, "{key} {line}"))?;
    }
    Ok(())
}

/// Whoever closed the pipe has seen enough.
fn written(result: io::Result<()>) -> Result<(), Error> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Error::Stream(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn key(operation: &Operation, partner: &str, members: &[String]) -> Result<ClaimKey, Error> {
    let Identity::Body(pointers) = &operation.identity else {
        return Err(Error::Operation { found: operation.name.to_string() });
    };
    if pointers.len() != members.len() {
        let expected = pointers.iter().map(|one| one.to_string().replacen('/', "", 1)).collect();
        let (operation, found) = (operation.name.to_string(), members.to_vec());
        return Err(Error::Members { operation, expected, found });
    }
    for member in members {
        match member.chars().count() {
            0 => return Err(Error::Empty),
            found if found > limits::IDENTITY_CHARS_MAX => return Err(Error::Long { found }),
            _ => {}
        }
    }
    let identity = members.iter().map(String::as_str);
    Ok(ClaimKey::derive(partner, &operation.namespace, identity))
}
