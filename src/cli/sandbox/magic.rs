//! The values DANA documents for its own sandbox: a request that carries one gets a known answer.

use std::time::Duration;

use super::ask::Ask;
use super::code::Code;
use super::operations::Operation;

/// Longer than any sensible client waits: DANA expects answers within eight seconds.
const TIMEOUT: Duration = Duration::from_secs(30);

const TOPUP_CUSTOMERS: [(&str, Code); 4] = [
    ("628551008794", Code::of(500, 1)),
    ("628121111111", Code::of(500, 0)),
    ("628551005454", Code::of(504, 0)),
    ("628996647679", Code::of(403, 5)),
];

const BANK_ACCOUNTS: [(&str, Code); 3] = [
    ("8551008794", Code::of(500, 1)),
    ("8121111111", Code::of(500, 0)),
    ("82298055100", Code::of(403, 3)),
];

const REFUND_AMOUNTS: [(&str, Code); 5] = [
    ("505801.00", Code::of(500, 1)),
    ("225800.00", Code::of(202, 0)),
    ("435815.00", Code::of(403, 15)),
    ("435814.00", Code::of(403, 14)),
    ("445808.00", Code::of(404, 8)),
];

/// The answer a magic value asks for. A pending one is executed, a definite failure is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Magic {
    pub(super) code: Code,
    pub(super) delay: Duration,
}

impl Magic {
    /// The magic in a request, if there is any.
    pub(super) fn of(ask: &Ask) -> Option<Self> {
        let code = match ask.operation {
            Operation::CancelOrder => cancel_code(&ask.reference),
            Operation::RefundOrder => {
                ask.money.as_ref().and_then(|money| pick(&REFUND_AMOUNTS, &money.value))
            }
            Operation::Topup => pick(&TOPUP_CUSTOMERS, &ask.payee),
            Operation::TransferBank => pick(&BANK_ACCOUNTS, &ask.payee),
            Operation::OrderStatus => (ask.service_code == "AZ").then_some(Code::of(500, 1)),
            Operation::CreateOrder
            | Operation::TopupStatus
            | Operation::TransferBankStatus
            | Operation::ConsultPay
            | Operation::BalanceInquiry
            | Operation::AccountInquiry
            | Operation::BankAccountInquiry
            | Operation::ApplyB2bToken
            | Operation::ApplyToken
            | Operation::ApplyOtt
            | Operation::Unbind => None,
        }?;
        let delay = if code.http == 504 { TIMEOUT } else { Duration::ZERO };
        Some(Self { code, delay })
    }
}

/// A cancel names the wanted code itself, as the reference of the order.
fn cancel_code(reference: &str) -> Option<Code> {
    let service = reference.get(3..5)?;
    let code = Code::parse(reference)?;
    (service == Operation::CancelOrder.service() && !code.is_success()).then_some(code)
}

fn pick(table: &[(&str, Code)], value: &str) -> Option<Code> {
    table.iter().find(|(magic, _)| *magic == value).map(|(_, code)| *code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(operation: Operation, body: &str) -> Option<String> {
        let ask = Ask::read(operation, "partner", body.as_bytes()).unwrap();
        Magic::of(&ask).map(|magic| magic.code.resolve(Some(operation)))
    }

    #[test]
    fn the_documented_values_ask_for_the_documented_codes() {
        let payment = r#""partnerReferenceNo":"r","amount":{"value":"1.00","currency":"IDR"}"#;
        let refund = |value: &str| {
            format!(
                r#"{{"originalPartnerReferenceNo":"r","partnerRefundNo":"f",
                    "refundAmount":{{"value":"{value}","currency":"IDR"}}}}"#
            )
        };
        let cancel = |code: &str| format!(r#"{{"originalPartnerReferenceNo":"{code}"}}"#);
        let topup = |number: &str| format!(r#"{{"customerNumber":"{number}",{payment}}}"#);
        let bank = |number: &str| format!(r#"{{"beneficiaryAccountNumber":"{number}",{payment}}}"#);
        let cases = [
            (Operation::CancelOrder, cancel("5005701"), Some("5005701")),
            (Operation::CancelOrder, cancel("2025700"), Some("2025700")),
            (Operation::CancelOrder, cancel("4045708"), Some("4045708")),
            (Operation::CancelOrder, cancel("2005700"), None),
            (Operation::CancelOrder, cancel("5005801"), None),
            (Operation::CancelOrder, cancel("order-1"), None),
            (Operation::RefundOrder, refund("505801.00"), Some("5005801")),
            (Operation::RefundOrder, refund("225800.00"), Some("2025800")),
            (Operation::RefundOrder, refund("435815.00"), Some("4035815")),
            (Operation::RefundOrder, refund("435814.00"), Some("4035814")),
            (Operation::RefundOrder, refund("445808.00"), Some("4045808")),
            (Operation::RefundOrder, refund("10000.00"), None),
            (Operation::Topup, topup("628551008794"), Some("5003801")),
            (Operation::Topup, topup("628121111111"), Some("5003800")),
            (Operation::Topup, topup("628551005454"), Some("5043800")),
            (Operation::Topup, topup("628996647679"), Some("4033805")),
            (Operation::Topup, topup("628111"), None),
            (Operation::TransferBank, bank("8551008794"), Some("5004301")),
            (Operation::TransferBank, bank("8121111111"), Some("5004300")),
            (Operation::TransferBank, bank("82298055100"), Some("4034303")),
        ];
        for (operation, body, expected) in cases {
            assert_eq!(code(operation, &body).as_deref(), expected, "{body}");
        }
        let inquiry = r#"{"originalPartnerReferenceNo":"r","serviceCode":"AZ"}"#;
        assert_eq!(code(Operation::OrderStatus, inquiry).as_deref(), Some("5005501"));
    }
}
