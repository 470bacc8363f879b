//! How a payment stands when everybody's word on it is put together.

/// How a payment stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Executed, and its gateway's report says the same.
    Matched,
    /// Executed before or after the time of the reports that are at hand, or in doubt after it.
    Expected,
    /// Not executed, and no report has it.
    NotExecuted,
    /// More than one execution is in the reports.
    DoubleCharged,
    /// A report has it, though its client was told that it is not executed.
    OrphanCharge,
    /// A report has it, and the audit trail does not know it.
    MissingInAudit,
    /// Executed, and no report has it.
    MissingAtGateway,
    /// The merchant counts it as paid, and nobody has executed it.
    PhantomSuccess,
    /// Executed at one gateway, and in the report of another.
    WrongChannel,
    /// With another amount.
    AmountMismatch,
    /// With another currency.
    CurrencyMismatch,
    /// A report has a refund that nobody asked for here.
    RefundWithoutRequest,
    /// A refund was executed, and no report has it.
    RefundMissing,
    /// More was given back than was paid.
    RefundBeyondPayment,
    /// An operator has said how it ended, and the reports say otherwise.
    ResolvedAgainstEvidence,
    /// It is in doubt, and a report has it.
    DoubtExecuted,
    /// It is in doubt, and no report has it.
    DoubtOpen,
    /// Executed at a gateway of which there is no report.
    Unreported,
    /// A report has it, and the ledger does not count it as paid.
    NotInLedger,
    /// The ledger counts it as paid more than once.
    BookedTwice,
    /// One reference, and several payments: of partners, merchants or operations.
    Ambiguous,
    /// Envoy was about to send it, and no entry says what came of that.
    AskedFor,
}

impl State {
    /// All of them.
    pub(super) const ALL: [Self; 22] = [
        Self::Matched,
        Self::Expected,
        Self::NotExecuted,
        Self::DoubleCharged,
        Self::OrphanCharge,
        Self::MissingInAudit,
        Self::MissingAtGateway,
        Self::PhantomSuccess,
        Self::WrongChannel,
        Self::AmountMismatch,
        Self::CurrencyMismatch,
        Self::RefundWithoutRequest,
        Self::RefundMissing,
        Self::RefundBeyondPayment,
        Self::ResolvedAgainstEvidence,
        Self::DoubtExecuted,
        Self::DoubtOpen,
        Self::Unreported,
        Self::NotInLedger,
        Self::BookedTwice,
        Self::Ambiguous,
        Self::AskedFor,
    ];

    /// Its name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Matched => "matched",
            Self::Expected => "expected",
            Self::NotExecuted => "not executed",
            Self::DoubleCharged => "double charged",
            Self::OrphanCharge => "orphan charge",
            Self::MissingInAudit => "missing in audit",
            Self::MissingAtGateway => "missing at gateway",
            Self::PhantomSuccess => "phantom success",
            Self::WrongChannel => "wrong channel",
            Self::AmountMismatch => "amount mismatch",
            Self::CurrencyMismatch => "currency mismatch",
            Self::RefundWithoutRequest => "refunded without refund",
            Self::RefundMissing => "refund missing at gateway",
            Self::RefundBeyondPayment => "refund beyond payment",
            Self::ResolvedAgainstEvidence => "resolved against evidence",
            Self::DoubtExecuted => "in doubt, executed",
            Self::DoubtOpen => "in doubt",
            Self::Unreported => "no report",
            Self::NotInLedger => "not in ledger",
            Self::BookedTwice => "booked twice",
            Self::Ambiguous => "ambiguous reference",
            Self::AskedFor => "asked for",
        }
    }

    /// What a person does about it; empty where nobody has to.
    #[must_use]
    pub const fn advice(self) -> &'static str {
        match self {
            Self::Matched | Self::Expected | Self::NotExecuted => "",
            Self::DoubleCharged => "refund all but one",
            Self::OrphanCharge => "deliver, or refund: the client was told that it is not executed",
            Self::MissingInAudit => "who has sent it past this Envoy? Verify the audit trail",
            Self::MissingAtGateway => {
                "ask the gateway for its status; the report may be incomplete"
            }
            Self::PhantomSuccess => "take it back in the ledger: nobody has paid",
            Self::WrongChannel => "ask both gateways for its status",
            Self::AmountMismatch | Self::CurrencyMismatch => "compare with the order",
            Self::RefundWithoutRequest => "ask the gateway who asked for it",
            Self::RefundMissing => "ask the gateway for its status",
            Self::RefundBeyondPayment => "claim it back",
            Self::ResolvedAgainstEvidence => "resolve it anew",
            Self::DoubtExecuted | Self::DoubtOpen => "resolve it: POST /resolve, see --resolve",
            Self::Unreported => "give the report of its gateway too",
            Self::NotInLedger => "deliver, or refund: the customer has paid",
            Self::BookedTwice => "take one of them back in the ledger",
            Self::Ambiguous => "compare by hand: the reports do not tell them apart",
            Self::AskedFor => "ask its gateway for its status",
        }
    }

    /// Whether a person is needed.
    #[must_use]
    pub const fn is_break(self) -> bool {
        !self.advice().is_empty()
    }
}
