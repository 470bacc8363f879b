//! The answers to refused requests.

use super::{ReplyForm, RequestError, Standing, timeout};

impl Standing {
    pub(super) const fn form(self, refusal: &RequestError) -> ReplyForm {
        match self {
            Self::NotExecuted => refusal.form(),
            Self::Unasked => ReplyForm { outcome: "unknown", ..refusal.form() },
            // The code of the mistake reads as failed, and money may have moved.
            Self::Unknown => timeout("refused_in_doubt", "Payment Outcome Unknown", "unknown"),
            Self::Executed => timeout("refused_executed", "Payment Already Executed", "executed"),
        }
    }
}

impl RequestError {
    pub(super) const fn form(&self) -> ReplyForm {
        let (snap, http, reason, title) = match self {
            Self::Unmatched => ((403, 1), 403, "unmatched", "Feature Not Allowed"),
            Self::Peer => ((403, 1), 403, "peer", "Feature Not Allowed"),
            Self::Operation => ((403, 1), 403, "operation", "Feature Not Allowed"),
            Self::AmbiguousPath => ((400, 1), 400, "ambiguous_path", "Invalid Field Format"),
            Self::Method { .. } => ((405, 0), 405, "method", "Requested Function Is Not Supported"),
            Self::NoIdentity(_) => ((400, 2), 400, "no_identity", "Invalid Mandatory Field"),
            Self::BadField(_) => ((400, 1), 400, "bad_field", "Invalid Field Format"),
            Self::BodyTooLarge { .. } => ((413, 0), 413, "body_too_large", "Request Too Large"),
        };
        // The request is wrong, and its reference may have been paid before. The merchant must
        // correct it and send it with the same reference.
        ReplyForm { snap, http, reason, title, outcome: "not_executed", safe_new_key: false }
    }

    pub(super) fn detail(&self) -> String {
        let what = match self {
            Self::Unmatched => "The path names no operation that is served here.".to_owned(),
            Self::AmbiguousPath => {
                "The path has escapes, doubled slashes, dot segments, parameters or other letters \
                 than DANA's: it could be read as another operation."
                    .to_owned()
            }
            Self::Peer => {
                "The client's certificate names nobody who may speak for this partner.".to_owned()
            }
            Self::Operation => {
                "This partner may not call this operation, or no gateway may get it.".to_owned()
            }
            Self::Method { allowed } => format!("This operation takes {allowed} only."),
            Self::NoIdentity(what) | Self::BadField(what) => what.clone(),
            Self::BodyTooLarge { bytes_max } => {
                format!("The body is longer than {bytes_max} bytes.")
            }
        };
        format!("{what} Nothing was sent.")
    }
}
