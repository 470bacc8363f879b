//! Merchants' references, which stand hashed in a trail where its filter has a pepper.

use std::path::Path;

use super::Error;
use super::row::{Id, id};
use crate::engine::Pepper;

/// How references of the trail are told by those of reports and ledger.
#[derive(Clone, Debug, Default)]
pub(super) struct References(Option<Pepper>);

impl References {
    /// With the pepper in this file, if one is named.
    pub(super) fn read(path: Option<&Path>) -> Result<Self, Error> {
        let Some(path) = path else {
            return Ok(Self::default());
        };
        let text = std::fs::read_to_string(path)
            .map_err(|error| Error::Read { path: path.to_owned(), error })?;
        // What stands there may be a secret all the same: it is not repeated.
        let unlike = || Error::Usage(format!("{}: expected {}", path.display(), Pepper::EXPECTED));
        Pepper::parse(text.trim()).map(|pepper| Self(Some(pepper))).ok_or_else(unlike)
    }

    /// The id of a reference, be it hashed or not.
    pub(super) fn id(&self, reference: &str) -> Id {
        match &self.0 {
            Some(pepper) if !Pepper::is_hash(reference) => id(&pepper.hash(reference)),
            Some(_) | None => id(reference),
        }
    }

    /// Whether a reference of the trail can be told by no other one.
    pub(super) fn is_unknown(&self, reference: &str) -> bool {
        self.0.is_none() && Pepper::is_hash(reference)
    }
}
