//! What a payment request says, as far as the sandbox listens.

use serde_json::Value;

use super::key::Key;
use super::money::Money;
use super::operations::{Namespace, Operation};
use super::refusal::Refusal;

/// How long a reference may be.
pub(super) const REFERENCE_BYTES_MAX: usize = 64;

/// The operations that ask how a payment stands.
pub(super) const INQUIRIES: [Operation; 3] =
    [Operation::OrderStatus, Operation::TopupStatus, Operation::TransferBankStatus];

/// The parts of a request that decide what a gateway does with it.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    pub(super) operation: Operation,
    pub(super) partner: String,
    pub(super) merchant: String,
    /// The merchant's reference of the payment that this request makes or is about.
    pub(super) reference: String,
    /// The gateway's own number of the payment, for inquiries that know no other.
    pub(super) number: String,
    pub(super) refund: String,
    pub(super) money: Option<Money>,
    pub(super) service_code: String,
    /// The account that is paid; it can ask for one of DANA's documented test answers.
    pub(super) payee: String,
}

impl Ask {
    /// Reads a body, or says what is wrong with it the way DANA would.
    pub(super) fn read(operation: Operation, partner: &str, body: &[u8]) -> Result<Self, Refusal> {
        let body: Value = serde_json::from_slice(body).map_err(|_| Refusal::NotJson)?;
        if !body.is_object() {
            return Err(Refusal::NotJson);
        }
        let ask = Self {
            operation,
            partner: partner.to_owned(),
            merchant: text(&body, "merchantId"),
            reference: text(&body, reference_field(operation)),
            number: text(&body, "originalReferenceNo"),
            refund: text(&body, "partnerRefundNo"),
            money: money(&body, money_field(operation))?,
            service_code: text(&body, "serviceCode"),
            payee: text(&body, payee_field(operation)),
        };
        ask.check().map(|()| ask)
    }

    /// Which ledger entry this request makes, or asks about.
    pub(super) fn key(&self, namespace: Namespace) -> Key {
        let refund = if namespace == Namespace::Refund { self.refund.as_str() } else { "" };
        Key {
            namespace,
            partner: self.partner.clone(),
            merchant: self.merchant.clone(),
            reference: self.reference.clone(),
            refund: refund.to_owned(),
        }
    }

    fn check(&self) -> Result<(), Refusal> {
        if self.reference.len() > REFERENCE_BYTES_MAX || self.refund.len() > REFERENCE_BYTES_MAX {
            return Err(Refusal::Malformed(reference_field(self.operation)));
        }
        if needs_reference(self.operation) && self.reference.is_empty() {
            let asks_by_number = self.operation == Operation::OrderStatus;
            if !asks_by_number || self.number.is_empty() {
                return Err(Refusal::Missing(reference_field(self.operation)));
            }
        }
        if self.operation == Operation::RefundOrder && self.refund.is_empty() {
            return Err(Refusal::Missing("partnerRefundNo"));
        }
        if needs_money(self.operation) && self.money.is_none() {
            return Err(Refusal::Missing(money_field(self.operation)));
        }
        Ok(())
    }
}

/// The namespace an operation writes in; queries write nowhere.
pub(super) fn namespace(operation: Operation) -> Option<Namespace> {
    match operation {
        Operation::CreateOrder => Some(Namespace::Order),
        Operation::CancelOrder => Some(Namespace::Cancel),
        Operation::RefundOrder => Some(Namespace::Refund),
        Operation::Topup => Some(Namespace::Topup),
        Operation::TransferBank => Some(Namespace::Transfer),
        Operation::OrderStatus
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
    }
}

/// The namespace an inquiry looks in.
pub(super) fn inquired(operation: Operation) -> Option<Namespace> {
    [
        (Operation::OrderStatus, Namespace::Order),
        (Operation::TopupStatus, Namespace::Topup),
        (Operation::TransferBankStatus, Namespace::Transfer),
    ]
    .into_iter()
    .find(|(inquiry, _)| *inquiry == operation)
    .map(|(_, namespace)| namespace)
}

/// Operations about a payment that exists already name it as the original.
pub(super) fn is_about_original(operation: Operation) -> bool {
    inquired(operation).is_some()
        || matches!(operation, Operation::CancelOrder | Operation::RefundOrder)
}

fn reference_field(operation: Operation) -> &'static str {
    if is_about_original(operation) { "originalPartnerReferenceNo" } else { "partnerReferenceNo" }
}

fn money_field(operation: Operation) -> &'static str {
    if operation == Operation::RefundOrder { "refundAmount" } else { "amount" }
}

fn payee_field(operation: Operation) -> &'static str {
    let to_bank = matches!(operation, Operation::TransferBank | Operation::BankAccountInquiry);
    if to_bank { "beneficiaryAccountNumber" } else { "customerNumber" }
}

/// A bank transfer may come without a reference: DANA's own models leave it optional.
fn needs_reference(operation: Operation) -> bool {
    is_about_original(operation) || matches!(operation, Operation::CreateOrder | Operation::Topup)
}

fn needs_money(operation: Operation) -> bool {
    namespace(operation).is_some() && operation != Operation::CancelOrder
}

fn text(body: &Value, field: &str) -> String {
    body.get(field).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn money(body: &Value, field: &'static str) -> Result<Option<Money>, Refusal> {
    let Some(amount) = body.get(field).filter(|amount| !amount.is_null()) else {
        return Ok(None);
    };
    let money = Money { value: text(amount, "value"), currency: text(amount, "currency") };
    if money.minor_units().is_none() || money.currency.len() != 3 {
        return Err(Refusal::Malformed(field));
    }
    Ok(Some(money))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(operation: Operation, body: &str) -> Result<Ask, Refusal> {
        Ask::read(operation, "partner", body.as_bytes())
    }

    #[test]
    fn a_request_is_read_by_the_fields_of_its_operation() {
        let body = r#"{"originalPartnerReferenceNo":"r","partnerRefundNo":"f","merchantId":"m",
            "refundAmount":{"value":"1.00","currency":"IDR"}}"#;
        let ask = read(Operation::RefundOrder, body).unwrap();
        assert_eq!(ask.key(Namespace::Refund).refund, "f");
        assert_eq!(ask.key(Namespace::Order).refund, "");
        assert_eq!(ask.money.unwrap().value, "1.00");
    }

    #[test]
    fn what_is_wrong_is_named() {
        let cases = [
            (Operation::CreateOrder, "no json", Refusal::NotJson),
            (Operation::CreateOrder, "[]", Refusal::NotJson),
            (Operation::CreateOrder, "{}", Refusal::Missing("partnerReferenceNo")),
            (Operation::CreateOrder, r#"{"partnerReferenceNo":"r"}"#, Refusal::Missing("amount")),
            (
                Operation::Topup,
                r#"{"partnerReferenceNo":"r","amount":{"value":"1500","currency":"IDR"}}"#,
                Refusal::Malformed("amount"),
            ),
            (
                Operation::RefundOrder,
                r#"{"originalPartnerReferenceNo":"r"}"#,
                Refusal::Missing("partnerRefundNo"),
            ),
        ];
        for (operation, body, refusal) in cases {
            assert_eq!(read(operation, body).unwrap_err(), refusal, "{body}");
        }
        assert!(read(Operation::OrderStatus, r#"{"originalReferenceNo":"1"}"#).is_ok());
        assert!(read(Operation::ConsultPay, "{}").is_ok());
    }
}
