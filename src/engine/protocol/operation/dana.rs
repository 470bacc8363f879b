//! The `dana-snap` preset: DANA's endpoints as its documentation and its SDKs name them.
//!
//! Calls whose identity or status inquiry is not documented (QRIS CPM, OTC cash-out) are left out on
//! purpose. They are `unmatched`. `operations` in the configuration can add them.

use std::borrow::Cow;

use super::{Class, Concerns, Identity, Operation, Reference, Repeat, StatusTable, pointer};
use crate::engine::codec::json::Pointer;

/// The operations of DANA's SNAP interface and of its older Open API.
#[must_use]
pub fn dana_snap() -> Vec<Operation> {
    let mut table = orders();
    table.extend(disbursements());
    table.extend(follow_ups());
    table.extend(statuses());
    table.extend(READS.iter().map(|(name, path, services)| Operation {
        service_codes: services.iter().copied().map(Cow::Borrowed).collect(),
        ..plain(name, path, Class::Inquiry)
    }));
    table.extend(STATES.iter().map(|(name, path, service)| Operation {
        service_codes: service.iter().copied().map(Cow::Borrowed).collect(),
        ..plain(name, path, Class::State)
    }));
    for operation in &mut table {
        // Only the gateway that issued a customer's token accepts it. A request with such a token in
        // Authorization-Customer goes there. Other requests are not affected.
        operation.affinity = true;
        if operation.path == "/access-token/b2b2c" {
            operation.issues = Some(pointer("/accessToken"));
        }
        // SNAP's token service identifies its caller only by the client key.
        operation.by_client_key = operation.path.starts_with("/access-token/");
    }
    table
}

const ORDER: [&str; 2] = ["/merchantId", "/originalPartnerReferenceNo"];

const AMOUNT: [&str; 2] = ["/amount/value", "/amount/currency"];

fn orders() -> Vec<Operation> {
    let create = |name, path, inquiry| Operation {
        service_codes: vec!["54".into()],
        inquiry_path: Some(Cow::Borrowed(inquiry)),
        ..charge(name, path, "order", &["/merchantId", "/partnerReferenceNo"], &AMOUNT)
    };
    vec![
        create(
            "widget-pay",
            "/redirection/v1.0/debit/payment-host-to-host",
            "/rest/v1.1/debit/status",
        ),
        create(
            "create-order",
            "/debit/payment-host-to-host",
            "/payment-gateway/v1.0/debit/status.htm",
        ),
    ]
}

fn disbursements() -> [Operation; 2] {
    [
        Operation {
            service_codes: vec!["38".into()],
            inquiry_path: Some("/rest/v1.0/emoney/topup-status".into()),
            fingerprint: pointers(&[AMOUNT[0], AMOUNT[1], "/customerNumber"]),
            ..charge("top-up", "/emoney/topup", "topup", &["/partnerReferenceNo"], &AMOUNT)
        },
        Operation {
            service_codes: vec!["43".into()],
            reference: Some(optional("/partnerReferenceNo")),
            inquiry_path: Some("/v1.0/emoney/transfer-bank-status.htm".into()),
            fingerprint: pointers(&[
                AMOUNT[0],
                AMOUNT[1],
                "/beneficiaryAccountNumber",
                "/beneficiaryBankCode",
            ]),
            ..charge(
                "transfer-bank",
                "/emoney/transfer-bank",
                "transfer",
                &["/partnerReferenceNo"],
                &AMOUNT,
            )
        },
    ]
}

fn follow_ups() -> [Operation; 2] {
    [
        Operation {
            class: Class::FollowUp,
            service_codes: vec!["57".into()],
            reference: Some(obliged("/originalPartnerReferenceNo")),
            concerns: Some(concerns("order", &ORDER)),
            inquiry_path: Some("/payment-gateway/v1.0/debit/status.htm".into()),
            ..charge("cancel", "/debit/cancel", "cancel", &ORDER, &AMOUNT)
        },
        Operation {
            class: Class::FollowUp,
            service_codes: vec!["58".into()],
            reference: Some(obliged("/partnerRefundNo")),
            concerns: Some(concerns("order", &ORDER)),
            // A status never settles a refund, because several partial ones may exist. Its repeat does.
            inquiry_path: None,
            ..charge(
                "refund",
                "/debit/refund",
                "refund",
                &[ORDER[0], ORDER[1], "/partnerRefundNo"],
                &["/refundAmount/value", "/refundAmount/currency"],
            )
        },
    ]
}

fn statuses() -> [Operation; 3] {
    let status = |name, path, service: &'static str, table, concerns| Operation {
        service_codes: vec![service.into()],
        reference: Some(optional("/originalPartnerReferenceNo")),
        concerns: Some(concerns),
        status: Some(table),
        ..plain(name, path, Class::Inquiry)
    };
    let reference = ["/originalPartnerReferenceNo"];
    [
        status(
            "order-status",
            "/debit/status",
            "55",
            StatusTable::Order,
            concerns("order", &ORDER),
        ),
        status(
            "top-up-status",
            "/emoney/topup-status",
            "39",
            StatusTable::Disbursement,
            concerns("topup", &reference),
        ),
        status(
            "transfer-bank-status",
            "/emoney/transfer-bank-status",
            "00",
            StatusTable::Disbursement,
            concerns("transfer", &reference),
        ),
    ]
}

/// What gateways notify the merchant's application of.
#[must_use]
pub fn dana_notifications() -> [Operation; 2] {
    let notification = |name, path, service: &'static str, table, concerns| Operation {
        service_codes: vec![service.into()],
        reference: Some(obliged("/originalPartnerReferenceNo")),
        concerns: Some(concerns),
        status: Some(table),
        amount: Some((pointer(AMOUNT[0]), pointer(AMOUNT[1]))),
        ..plain(name, path, Class::Inquiry)
    };
    let reference = ["/originalPartnerReferenceNo"];
    [
        notification(
            "order-notify",
            "/debit/notify",
            "56",
            StatusTable::Order,
            concerns("order", &ORDER),
        ),
        notification(
            "transfer-bank-notify",
            "/emoney/transfer-bank/notify",
            "43",
            StatusTable::Disbursement,
            concerns("transfer", &reference),
        ),
    ]
}

/// Name, end of the path, service codes. Calls of the Open API have no service code.
const READS: [(&str, &str, &[&str]); 10] = [
    // DANA's documents say 00, its acceptance tests 57.
    ("consult", "/payment-gateway/consult-pay", &["00", "57"]),
    ("balance", "/balance-inquiry", &["11"]),
    ("account-inquiry", "/emoney/account-inquiry", &["37"]),
    ("bank-account-inquiry", "/emoney/bank-account-inquiry", &["42"]),
    ("user-profile", "/dana/member/query/queryUserProfile", &[]),
    ("query-division", "/dana/merchant/division/queryDivision", &[]),
    ("query-shop", "/dana/merchant/shop/queryShop", &[]),
    ("query-resource", "/dana/merchant/queryMerchantResource", &[]),
    ("query-merchant", "/dana/member/merchant/queryMerchantInfo", &[]),
    ("query-cards", "/dana/member/asset/queryAssetCardList", &[]),
];

const STATES: [(&str, &str, &[&str]); 8] = [
    // The merchant's own token, which merchants with symmetric signatures need for every call.
    ("apply-b2b-token", "/access-token/b2b", &["73"]),
    ("apply-token", "/access-token/b2b2c", &["74"]),
    ("apply-ott", "/qr/apply-ott", &["49"]),
    ("unbind", "/registration-account-unbinding", &["09"]),
    ("create-division", "/dana/merchant/division/createDivision", &[]),
    ("update-division", "/dana/merchant/division/updateDivision", &[]),
    ("create-shop", "/dana/merchant/shop/createShop", &[]),
    ("update-shop", "/dana/merchant/shop/updateShop", &[]),
];

fn charge(
    name: &'static str,
    path: &'static str,
    namespace: &'static str,
    identity: &[&str],
    amount: &[&str; 2],
) -> Operation {
    Operation {
        namespace: Cow::Borrowed(namespace),
        identity: Identity::Body(pointers(identity)),
        reference: Some(obliged("/partnerReferenceNo")),
        fingerprint: pointers(amount),
        amount: Some((pointer(amount[0]), pointer(amount[1]))),
        repeat: Repeat::ByReference,
        ..plain(name, path, Class::Charge)
    }
}

fn plain(name: &'static str, path: &'static str, class: Class) -> Operation {
    let identity = Identity::Body(Vec::new());
    Operation {
        name: Cow::Borrowed(name),
        path: Cow::Borrowed(path),
        class,
        identity,
        ..Operation::bare()
    }
}

fn concerns(namespace: &'static str, identity: &[&str]) -> Concerns {
    Concerns { namespace: Cow::Borrowed(namespace), identity: pointers(identity) }
}

fn obliged(text: &str) -> Reference {
    Reference { pointer: pointer(text), obliged: true }
}

fn optional(text: &str) -> Reference {
    Reference { pointer: pointer(text), obliged: false }
}

fn pointers(texts: &[&str]) -> Vec<Pointer> {
    texts.iter().copied().filter_map(Pointer::parse).collect()
}
