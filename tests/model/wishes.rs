//! What clients want, as the requests they send.

use dana_failover::engine::ClaimKey;

use super::ledger::{reference, services};

/// Header fields by name and value.
pub(crate) type Fields = Vec<(&'static [u8], &'static [u8])>;

/// What a client wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Pay { payment: usize, other_amount: bool },
    Ask { payment: usize },
    Cancel { payment: usize },
}

impl What {
    pub(crate) fn pays(&self, wanted: usize) -> bool {
        matches!(self, Self::Pay { payment, .. } if *payment == wanted)
    }

    /// The payment that it is about.
    pub(crate) const fn payment(self) -> usize {
        match self {
            Self::Pay { payment, .. } | Self::Ask { payment } | Self::Cancel { payment } => payment,
        }
    }

    /// Its service code.
    pub(crate) const fn service(self) -> &'static str {
        let services = services(self.payment());
        match self {
            Self::Pay { .. } => services.pay,
            Self::Ask { .. } => services.ask,
            Self::Cancel { .. } => services.cancel,
        }
    }

    /// Header fields and body.
    pub(crate) fn request(self, header_key: Option<&'static str>) -> (Fields, String) {
        let (path, partner, body) = self.parts();
        let fields = [
            (":method", "POST"),
            (":path", path),
            ("x-partner-id", partner),
            ("x-request-id", "id"),
        ];
        let header_key = header_key.map(|key| ("idempotency-key", key));
        let fields = fields.into_iter().chain(header_key);
        (fields.map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect(), body)
    }

    /// Path, partner and body.
    fn parts(self) -> (&'static str, &'static str, String) {
        let partner = partner(self.payment());
        let reference = reference(self.payment());
        match self {
            Self::Pay { payment, other_amount } => {
                let value = if other_amount { "20000.00" } else { "10000.00" };
                let path = match payment {
                    1 => "/rest/v1.0/emoney/topup",
                    _ => "/payment-gateway/v1.0/debit/payment-host-to-host.htm",
                };
                let body = format!(
                    r#"{{"merchantId":"m-1","partnerReferenceNo":"{reference}","amount":{{"value":"{value}","currency":"IDR"}}}}"#
                );
                (path, partner, body)
            }
            Self::Ask { payment } | Self::Cancel { payment } => {
                let path = match (self, payment) {
                    (Self::Cancel { .. }, _) => "/payment-gateway/v1.0/debit/cancel.htm",
                    (_, 1) => "/rest/v1.0/emoney/topup-status",
                    (_, _) => "/payment-gateway/v1.0/debit/status.htm",
                };
                let body =
                    format!(r#"{{"merchantId":"m-1","originalPartnerReferenceNo":"{reference}"}}"#);
                (path, partner, body)
            }
        }
    }
}

pub(crate) const fn partner(payment: usize) -> &'static str {
    if payment == 2 { "partner-2" } else { "partner-1" }
}

/// The key of a payment's claim.
pub(crate) fn key(payment: usize) -> ClaimKey {
    match payment {
        1 => ClaimKey::derive(partner(payment), "topup", [reference(payment)]),
        _ => ClaimKey::derive(partner(payment), "order", ["m-1", reference(payment)]),
    }
}
