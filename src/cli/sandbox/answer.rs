//! SNAP answers, with every field the models of DANA's own SDKs demand.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Map, Value, json};

use super::ask::{Ask, is_about_original};
use super::code::Code;
use super::fault::Told;
use super::ledger::State;
use super::money::Money;
use super::operations::Operation;
use super::payments::Settled;
use super::refusal::Refusal;

const JSON: &str = "application/json";
const HTML: &str = "text/html";
/// Far enough for a token of a sandbox, and always the same, so that answers repeat byte by byte.
const TOKEN_EXPIRY: &str = "2099-12-31T23:59:59+07:00";

/// A whole answer, ready to be sent, or to be spoilt on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// What the request log shows: the response code, or just the HTTP status without one.
    pub(super) code: String,
    pub(super) content_type: &'static str,
    /// One more header, where a fault asks for it.
    pub(super) header: Option<(&'static str, &'static str)>,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn refusal(refusal: Refusal, operation: Option<Operation>) -> Self {
        Self::snap(refusal.code(), operation, refusal.message(), Map::new())
    }

    pub(super) fn success(ask: &Ask, settled: &Settled) -> Self {
        let fields = success_fields(ask, settled);
        Self::snap(Code::SUCCESS, Some(ask.operation), Code::SUCCESS.message(), fields)
    }

    /// An answer with this code, right or wrong. One that says 2xx has the fields of a success,
    /// since the SDKs read it into the same model.
    pub(super) fn coded(
        code: Code,
        operation: Option<Operation>,
        ask: Option<&Ask>,
        settled: &Settled,
    ) -> Self {
        let fields = ask.map_or_else(Map::new, |ask| {
            if code.http < 300 { success_fields(ask, settled) } else { echo(ask) }
        });
        Self::snap(code, operation, code.message(), fields)
    }

    /// The answer to a status inquiry that says this, whatever the ledger knows.
    pub(super) fn told(ask: &Ask, settled: &Settled, told: Told) -> Self {
        let Some((status, description)) = written(told) else {
            return Self::refusal(Refusal::NotFound, Some(ask.operation));
        };
        let mut fields = success_fields(ask, settled);
        fields.insert("latestTransactionStatus".to_owned(), status.into());
        fields.insert("transactionStatusDesc".to_owned(), description.into());
        Self::snap(Code::SUCCESS, Some(ask.operation), Code::SUCCESS.message(), fields)
    }

    pub(super) fn with_header(&self, name: &'static str, value: &'static str) -> Self {
        Self { header: Some((name, value)), ..self.clone() }
    }

    /// The same, compressed though nobody asked for it.
    pub(super) fn compressed(&self) -> Self {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        // Writing to memory cannot fail.
        let _ = encoder.write_all(&self.body);
        let body = encoder.finish().unwrap_or_default();
        Self { body, ..self.with_header("content-encoding", "gzip") }
    }

    pub(super) fn heartbeat() -> Self {
        Self::raw(200, br#"{"status":"up"}"#.to_vec())
    }

    pub(super) fn raw(status: u16, body: Vec<u8>) -> Self {
        Self { status, code: status.to_string(), content_type: JSON, header: None, body }
    }

    /// What a proxy or a load balancer in front of a gateway says when it has no gateway.
    pub(super) fn html(status: u16) -> Self {
        let body = format!(
            "<html>\r\n<head><title>{status}</title></head>\r\n<body>\r\n<center><h1>{status}\
             </h1></center>\r\n<hr><center>gateway edge</center>\r\n</body>\r\n</html>\r\n"
        );
        Self { content_type: HTML, ..Self::raw(status, body.into_bytes()) }
    }

    fn snap(
        code: Code,
        operation: Option<Operation>,
        message: String,
        mut fields: Map<String, Value>,
    ) -> Self {
        let text = code.resolve(operation);
        fields.insert("responseCode".to_owned(), text.clone().into());
        fields.insert("responseMessage".to_owned(), message.into());
        let body = Value::Object(fields).to_string().into_bytes();
        Self { status: code.http, code: text, content_type: JSON, header: None, body }
    }
}

/// What DANA writes for each state of a payment.
fn written(told: Told) -> Option<(&'static str, &'static str)> {
    match told {
        Told::Executed => Some(("00", "Success")),
        Told::Pending => Some(("02", "Paying")),
        Told::Refunded => Some(("04", "Refunded")),
        Told::Cancelled => Some(("05", "Cancelled")),
        Told::Failed => Some(("06", "Failed")),
        Told::NotFound => None,
    }
}

fn echo(ask: &Ask) -> Map<String, Value> {
    let name = if is_about_original(ask.operation) {
        "originalPartnerReferenceNo"
    } else {
        "partnerReferenceNo"
    };
    let mut fields = Map::new();
    if !ask.reference.is_empty() {
        fields.insert(name.to_owned(), ask.reference.clone().into());
    }
    fields
}

fn success_fields(ask: &Ask, settled: &Settled) -> Map<String, Value> {
    let receipt = settled.receipt.as_ref();
    let number = receipt.map(|receipt| receipt.reference_no.clone());
    let money = receipt.map(|receipt| receipt.money.clone()).or_else(|| ask.money.clone());
    let amount = amount(money.as_ref());
    let specific = match ask.operation {
        Operation::CreateOrder => json!({
            "referenceNo": number,
            "webRedirectUrl": number.map(|number| {
                format!("https://checkout.sandbox.invalid/n/cashier/new/checkout?bizNo={number}")
            }),
        }),
        Operation::OrderStatus | Operation::TopupStatus | Operation::TransferBankStatus => {
            status_fields(ask, settled)
        }
        Operation::CancelOrder => json!({ "originalReferenceNo": settled.original }),
        Operation::RefundOrder => json!({
            "originalReferenceNo": settled.original,
            "refundNo": number,
            "partnerRefundNo": ask.refund,
            "refundAmount": amount,
        }),
        Operation::Topup => json!({ "referenceNo": number, "amount": amount }),
        Operation::TransferBank => json!({ "referenceNo": number }),
        Operation::ConsultPay => json!({ "paymentInfos": [{ "payMethod": "BALANCE" }] }),
        Operation::BalanceInquiry => json!({
            "accountInfos": [{ "balanceType": "BALANCE", "amount": idr("1000000.00"),
                "availableBalance": idr("1000000.00"), "status": "0001" }],
        }),
        Operation::AccountInquiry => json!({
            "customerName": "Sandbox Customer",
            "minAmount": idr("1.00"),
            "maxAmount": idr("20000000.00"),
            "amount": amount,
            "feeAmount": idr("0.00"),
        }),
        Operation::BankAccountInquiry => json!({
            "beneficiaryAccountNumber": ask.payee,
            "beneficiaryAccountName": "Sandbox Beneficiary",
            "amount": amount,
        }),
        Operation::ApplyB2bToken => json!({
            "tokenType": "Bearer",
            "accessToken": "sandbox-b2b-token",
            "expiresIn": "900",
        }),
        Operation::ApplyToken => json!({
            "tokenType": "Bearer",
            "accessToken": "sandbox-access-token",
            "accessTokenExpiryTime": TOKEN_EXPIRY,
            "refreshToken": "sandbox-refresh-token",
            "refreshTokenExpiryTime": TOKEN_EXPIRY,
        }),
        Operation::ApplyOtt => json!({
            "userResources": [{ "resourceType": "OTT", "value": "sandbox-one-time-token" }],
        }),
        Operation::Unbind => json!({ "unlinkResult": "success" }),
    };
    let mut fields = echo(ask);
    if let Value::Object(specific) = specific {
        fields.extend(specific.into_iter().filter(|(_, value)| !value.is_null()));
    }
    fields
}

fn status_fields(ask: &Ask, settled: &Settled) -> Value {
    let receipt = settled.receipt.as_ref();
    let state = receipt.map(|receipt| receipt.state);
    let is_order = ask.operation == Operation::OrderStatus;
    let (status, description) = match state {
        Some(State::Success) => written(Told::Executed),
        Some(State::Paying) => written(Told::Pending),
        // A refunded order stays paid; a refunded disbursement has a status of its own.
        Some(State::Refunded) if is_order => written(Told::Executed),
        Some(State::Refunded) => written(Told::Refunded),
        Some(State::Cancelled) => written(Told::Cancelled),
        None => None,
    }
    .unwrap_or(("01", "Initiated"));
    let service = if !ask.service_code.is_empty() {
        ask.service_code.as_str()
    } else if is_order {
        Operation::CreateOrder.service()
    } else if ask.operation == Operation::TopupStatus {
        Operation::Topup.service()
    } else {
        Operation::TransferBankStatus.service()
    };
    let money = receipt.map(|receipt| &receipt.money);
    let amount = amount(money);
    let mut fields = json!({
        "originalReferenceNo": receipt.map(|receipt| &receipt.reference_no),
        "serviceCode": service,
        "latestTransactionStatus": status,
        "transactionStatusDesc": description,
        "amount": amount,
    });
    if let (true, Some(fields)) = (is_order, fields.as_object_mut()) {
        let refunded = receipt.map(|receipt| receipt.money.of_minor_units(receipt.refunded));
        let known = receipt.map(|receipt| receipt.key.reference.as_str());
        if ask.reference.is_empty() {
            fields.insert("originalPartnerReferenceNo".to_owned(), known.into());
        }
        fields.insert("transAmount".to_owned(), amount.clone());
        let detail = json!({ "amountDetail": {
            "orderAmount": amount, "refundAmount": self::amount(refunded.as_ref()),
        } });
        fields.insert("additionalInfo".to_owned(), detail);
    }
    fields
}

fn amount(money: Option<&Money>) -> Value {
    money.map_or_else(
        || idr("0.00"),
        |money| json!({ "value": money.value, "currency": money.currency }),
    )
}

fn idr(value: &str) -> Value {
    json!({ "value": value, "currency": "IDR" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::sandbox::ledger::Ledger;
    use crate::cli::sandbox::payments::settle;

    fn ask(operation: Operation) -> Ask {
        let body = br#"{"partnerReferenceNo":"r","originalPartnerReferenceNo":"r",
            "partnerRefundNo":"f","amount":{"value":"9.00","currency":"IDR"},
            "refundAmount":{"value":"4.00","currency":"IDR"}}"#;
        Ask::read(operation, "partner", body).unwrap()
    }

    fn parsed(answer: &Answer) -> Value {
        serde_json::from_slice(&answer.body).unwrap()
    }

    #[test]
    fn a_success_has_the_fields_the_sdk_models_demand() {
        let cases: [(Operation, &str, &[&str]); 11] = [
            (
                Operation::CreateOrder,
                "2005400",
                &["partnerReferenceNo", "referenceNo", "webRedirectUrl"],
            ),
            (
                Operation::OrderStatus,
                "2005500",
                &["serviceCode", "latestTransactionStatus", "amount"],
            ),
            (Operation::RefundOrder, "2005800", &["partnerRefundNo", "refundAmount", "refundNo"]),
            (Operation::CancelOrder, "2005700", &["originalPartnerReferenceNo"]),
            (Operation::Topup, "2003800", &["partnerReferenceNo", "amount"]),
            (
                Operation::TopupStatus,
                "2003900",
                &["originalPartnerReferenceNo", "serviceCode", "amount", "transactionStatusDesc"],
            ),
            (Operation::TransferBank, "2004300", &["partnerReferenceNo", "referenceNo"]),
            (Operation::TransferBankStatus, "2000000", &["serviceCode", "latestTransactionStatus"]),
            (Operation::AccountInquiry, "2003700", &["customerName", "minAmount", "feeAmount"]),
            (Operation::ApplyB2bToken, "2007300", &["accessToken"]),
            (Operation::ApplyToken, "2007400", &["accessToken"]),
        ];
        let mut ledger = Ledger::new(100);
        for (operation, code, fields) in cases {
            let ask = ask(operation);
            let settled = settle(&mut ledger, &ask, 0, State::Success).unwrap();
            let answer = Answer::success(&ask, &settled);
            assert_eq!((answer.status, answer.code.as_str()), (200, code));
            let body = parsed(&answer);
            assert_eq!(body["responseCode"], code);
            for field in fields {
                assert!(!body[field].is_null(), "{code} lacks {field}: {body}");
            }
        }
    }

    #[test]
    fn a_repeated_request_gets_the_same_bytes() {
        let mut ledger = Ledger::new(100);
        let ask = ask(Operation::CreateOrder);
        let first = settle(&mut ledger, &ask, 0, State::Success).unwrap();
        let again = settle(&mut ledger, &ask, 0, State::Success).unwrap();
        assert_eq!(Answer::success(&ask, &first), Answer::success(&ask, &again));
    }

    #[test]
    fn refusals_carry_the_code_of_the_operation() {
        let cases = [
            (Refusal::NotFound, Operation::OrderStatus, "4045501"),
            (Refusal::NotFound, Operation::TopupStatus, "4043901"),
            (Refusal::NotFound, Operation::TransferBankStatus, "4040001"),
            (Refusal::NotFound, Operation::CancelOrder, "4045701"),
            (Refusal::Inconsistent, Operation::CreateOrder, "4045418"),
            (Refusal::Missing("amount"), Operation::Topup, "4003802"),
        ];
        for (refusal, operation, code) in cases {
            let answer = Answer::refusal(refusal, Some(operation));
            assert_eq!(answer.code, code);
            assert_eq!(parsed(&answer)["responseCode"], code);
        }
        assert_eq!(Answer::refusal(Refusal::UnknownPath, None).code, "4040000");
    }
}
