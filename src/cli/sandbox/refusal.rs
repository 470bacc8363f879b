//! The answers of a gateway that say no.

use super::code::Code;

/// A definite no: nothing was executed for this request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    NotJson,
    Malformed(&'static str),
    Missing(&'static str),
    Unsigned,
    NotFound,
    InvalidStatus,
    InvalidAmount,
    Inconsistent,
    LedgerFull,
    UnknownPath,
    UnknownMethod,
    TooLarge,
}

impl Refusal {
    pub(super) fn code(self) -> Code {
        match self {
            Self::NotJson => Code::of(400, 0),
            Self::Malformed(_) => Code::of(400, 1),
            Self::Missing(_) => Code::of(400, 2),
            Self::Unsigned => Code::of(401, 0),
            Self::InvalidStatus | Self::UnknownPath => Code::of(404, 0),
            Self::NotFound => Code::of(404, 1),
            Self::InvalidAmount => Code::of(404, 13),
            Self::Inconsistent => Code::of(404, 18),
            Self::UnknownMethod => Code::of(405, 0),
            Self::TooLarge => Code::of(413, 0),
            Self::LedgerFull => Code::of(500, 0),
        }
    }

    pub(super) fn message(self) -> String {
        let code = self.code();
        match self {
            Self::Malformed(field) | Self::Missing(field) => {
                format!("{} {field}", code.message())
            }
            Self::UnknownPath => "No such operation".to_owned(),
            Self::TooLarge => "Request body too large".to_owned(),
            Self::LedgerFull => "Sandbox ledger is full".to_owned(),
            Self::NotJson
            | Self::Unsigned
            | Self::NotFound
            | Self::InvalidStatus
            | Self::InvalidAmount
            | Self::Inconsistent
            | Self::UnknownMethod => code.message(),
        }
    }
}
