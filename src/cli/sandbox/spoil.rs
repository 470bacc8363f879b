//! What a fault makes of a good answer.

use std::time::Duration;

use super::answer::Answer;
use super::ask::Ask;
use super::fault::{Fault, Kind};
use super::operations::Operation;
use super::payments::Settled;

/// Starts like nothing that speaks HTTP.
const GARBAGE: &[u8] = b"\x15\x03\x03\x00\x02\x02\x28 this is not HTTP \x00\xff\xfe\r\n\r\n";

/// What the gateway makes of a request before any fault spoils the answer.
#[derive(Debug)]
pub(super) struct Verdict {
    pub(super) answer: Answer,
    pub(super) ask: Option<Ask>,
    pub(super) settled: Settled,
    pub(super) delay: Duration,
}

impl Verdict {
    /// An answer that is about no payment.
    pub(super) fn plain(answer: Answer) -> Self {
        Self { answer, ask: None, settled: Settled::default(), delay: Duration::ZERO }
    }
}

/// What goes out.
#[derive(Debug)]
pub(super) enum Delivery {
    Answer(Answer),
    Never,
    Reset,
    Close,
    /// These bytes instead of an answer, and then the end.
    Bytes(Vec<u8>),
}

/// What goes out when this fault, if any, has done its work.
pub(super) fn spoil(
    verdict: &Verdict,
    operation: Option<Operation>,
    fault: Option<&Fault>,
) -> Delivery {
    let normal = &verdict.answer;
    let Some(fault) = fault else {
        return Delivery::Answer(normal.clone());
    };
    match &fault.kind {
        Kind::Hang => Delivery::Never,
        Kind::Reset => Delivery::Reset,
        // A request that was under way when the door was shut.
        Kind::Close | Kind::Refuse => Delivery::Close,
        Kind::Garbage => Delivery::Bytes(GARBAGE.to_vec()),
        Kind::Truncate => Delivery::Bytes(half(normal)),
        Kind::Slow => Delivery::Answer(normal.clone()),
        Kind::Compressed => Delivery::Answer(normal.compressed()),
        Kind::Trap => Delivery::Answer(normal.with_header("x-trap", "1")),
        Kind::Empty => Delivery::Answer(Answer::raw(200, Vec::new())),
        Kind::Html { status } => Delivery::Answer(Answer::html(*status)),
        Kind::Raw { status, body } => {
            Delivery::Answer(Answer::raw(*status, body.clone().into_bytes()))
        }
        Kind::Code(code) => {
            let ask = verdict.ask.as_ref();
            Delivery::Answer(Answer::coded(*code, operation, ask, &verdict.settled))
        }
        Kind::WrongReference => of_payment(verdict, |ask| {
            let other = Ask { reference: another(&ask.reference), ..ask.clone() };
            Answer::success(&other, &verdict.settled)
        }),
        Kind::Tell(told) => of_payment(verdict, |ask| Answer::told(ask, &verdict.settled, *told)),
    }
}

/// An answer about the payment that was asked about; the normal one where none was.
fn of_payment(verdict: &Verdict, answer: impl FnOnce(&Ask) -> Answer) -> Delivery {
    Delivery::Answer(verdict.ask.as_ref().map_or_else(|| verdict.answer.clone(), answer))
}

/// A reference of the same length that is another one.
fn another(reference: &str) -> String {
    let mut reference = reference.to_owned();
    let last = reference.pop();
    reference.push(if last == Some('0') { '1' } else { '0' });
    reference
}

/// The head of an answer in full and half of the body it announces.
fn half(answer: &Answer) -> Vec<u8> {
    let mut bytes = format!(
        "HTTP/1.1 {} Sandbox\r\ncontent-type: {}\r\ncontent-length: {}\r\n\r\n",
        answer.status,
        answer.content_type,
        answer.body.len()
    )
    .into_bytes();
    bytes.extend(answer.body.iter().take(answer.body.len() / 2));
    bytes
}
