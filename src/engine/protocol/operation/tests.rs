//! Which path is which operation. DANA's endpoints are listed as its documents and SDKs name them.

use proptest::prelude::*;

use super::dana::dana_snap;
use super::*;
use crate::engine::payment::ClaimKey;

/// Path, operation, class (m: moves money, f: follow-up, i: inquiry, s: state), service codes.
const DANA: &str = "
/payment-gateway/v1.0/debit/payment-host-to-host.htm create-order m 54
/payment-gateway/v1.0/debit/status.htm order-status i 55
/payment-gateway/v1.0/debit/cancel.htm cancel f 57
/payment-gateway/v1.0/debit/refund.htm refund f 58
/v1.0/payment-gateway/consult-pay.htm consult i 00+57
/rest/redirection/v1.0/debit/payment-host-to-host widget-pay m 54
/rest/v1.1/debit/status order-status i 55
/v1.0/debit/cancel.htm cancel f 57
/v1.0/debit/refund.htm refund f 58
/v1.0/access-token/b2b apply-b2b-token s 73
/v1.0/access-token/b2b2c.htm apply-token s 74
/rest/v1.1/qr/apply-ott apply-ott s 49
/v1.0/registration-account-unbinding.htm unbind s 09
/v1.0/balance-inquiry.htm balance i 11
/dana/member/query/queryUserProfile.htm user-profile i -
/rest/v1.0/emoney/account-inquiry account-inquiry i 37
/rest/v1.0/emoney/topup top-up m 38
/rest/v1.0/emoney/topup-status top-up-status i 39
/v1.0/emoney/bank-account-inquiry.htm bank-account-inquiry i 42
/v1.0/emoney/transfer-bank.htm transfer-bank m 43
/v1.0/emoney/transfer-bank-status.htm transfer-bank-status i 00
/dana/merchant/division/createDivision.htm create-division s -
/dana/merchant/division/updateDivision.htm update-division s -
/dana/merchant/division/queryDivision.htm query-division i -
/dana/merchant/shop/createShop.htm create-shop s -
/dana/merchant/shop/updateShop.htm update-shop s -
/dana/merchant/shop/queryShop.htm query-shop i -
/dana/merchant/queryMerchantResource.htm query-resource i -
/dana/member/merchant/queryMerchantInfo.htm query-merchant i -
/dana/member/asset/queryAssetCardList.htm query-cards i -
";

fn table() -> Table {
    Table::new(dana_snap())
}

/// The one door: what a request target is.
fn found(table: &Table, target: &str) -> String {
    match table.find(target) {
        Matched::Operation(compiled) => compiled.operation.name.to_string(),
        Matched::Unmatched => "unmatched".to_owned(),
        Matched::Ambiguous => "ambiguous".to_owned(),
    }
}

fn named(name: &str) -> Compiled {
    table().iter().find(|compiled| compiled.operation.name == name).unwrap().clone()
}

/// The lines of [`DANA`]: path, name, class, service codes.
fn lines() -> impl Iterator<Item = [&'static str; 4]> {
    let lines = DANA.lines().filter(|line| !line.is_empty());
    lines.map(|line| line.split(' ').collect::<Vec<_>>().try_into().unwrap())
}

#[test]
fn every_path_of_dana_is_its_operation() {
    let table = table();
    for [path, name, class, services] in lines() {
        let stem = path.trim_end_matches(".htm");
        // With and without its ending, a query, the prefix of the other products.
        for target in [
            path.to_owned(),
            stem.to_owned(),
            format!("{stem}.htm"),
            format!("{path}?a=b"),
            format!("{path}?"),
            format!("{stem}?x=//%2F;"),
            format!("/rest{stem}"),
            stem.replace("/v1.0/", "/v1.1/").replace("/v1.1/", "/v1.0/"),
        ] {
            assert_eq!(found(&table, &target), name, "{target}");
        }
        let operation = named(name).operation;
        let letter = match operation.class {
            Class::Charge => "m",
            Class::FollowUp => "f",
            Class::Inquiry => "i",
            Class::State => "s",
        };
        assert_eq!(letter, class, "{name}");
        let codes = operation.service_codes.join("+");
        assert_eq!(codes, services.trim_start_matches('-'), "{name}");
    }
}

#[test]
fn the_table_holds_nothing_that_is_not_listed() {
    let mut listed: Vec<&str> = lines().map(|[_, name, ..]| name).collect();
    listed.sort_unstable();
    listed.dedup();
    let table = table();
    let mut held: Vec<&str> = table.iter().map(|c| c.operation.name.as_ref()).collect();
    held.sort_unstable();
    assert_eq!(held, listed);
}

#[test]
fn versions_and_variants_of_one_call_are_one_operation() {
    for (target, name) in [
        ("/payment-gateway/v1.1/debit/payment-host-to-host", "create-order"),
        ("/v2.0/debit/payment-host-to-host.htm", "create-order"),
        ("/debit/payment-host-to-host", "create-order"),
        ("/rest/v1.0/debit/status", "order-status"),
        ("/v1.0/emoney/topup.htm", "top-up"),
        ("/v1.0/emoney/topup-status.htm", "top-up-status"),
        ("/rest/v1.0/emoney/transfer-bank", "transfer-bank"),
    ] {
        assert_eq!(found(&table(), target), name, "{target}");
    }
}

#[test]
fn what_is_no_call_of_dana_is_unmatched() {
    for target in [
        "/",
        "/status",
        "/v1.0/qr/qr-cpm-payment.htm",
        "/v1.0/emoney/otc-cancel.htm",
        "/v1.0/debit/notify",
        "/v1.0/debit/cancel.html",
        "/v1.0/debit/cancels",
        "/v1.0/debit/xcancel",
        "/v1.0/emoney/xtopup",
        "/v1.0/undebit/cancel",
        "/v1.0/emoney/topup-statuses",
        "/?/v1.0/debit/cancel.htm",
    ] {
        assert_eq!(found(&table(), target), "unmatched", "{target}");
    }
}

#[test]
fn what_could_be_read_as_another_path_is_ambiguous() {
    for target in [
        "",
        "v1.0/debit/cancel.htm",
        "*",
        "http://dana/v1.0/debit/cancel.htm",
        "/v1.0/debit//cancel.htm",
        "//v1.0/debit/cancel.htm",
        "/v1.0/debit/%63ancel.htm",
        "/v1.0/debit%2Fcancel.htm",
        "/v1.0/debit/cancel.htm%00",
        "/v1.0/debit/cancel.htm%3Fx",
        "/v1.0/debit/cancel.htm;a=b",
        "/v1.0;a/debit/cancel.htm",
        "/v1.0/debit\\cancel.htm",
        "/v1.0/debit/./cancel.htm",
        "/v1.0/debit/x/../cancel.htm",
        "/v1.0/debit/cancel.htm/..",
        "/..",
        "/.",
        "/v1.0/debit/cancel.htm#x",
        "/v1.0/debit/cancel.htm ",
        "/v1.0/debit/can\u{a0}cel.htm",
        "/v1.0/debit/canc\u{e9}l.htm",
        "/v1.0/debit/cancel\t",
        "/v1.0/debit/Cancel.htm",
        "/V1.0/DEBIT/CANCEL.HTM",
        "/v1.0/debit/cancel.HTM",
        "/v1.0/emoney/TopUp",
        "/dana/merchant/shop/createshop",
    ] {
        assert_eq!(found(&table(), target), "ambiguous", "{target}");
    }
}

#[test]
fn a_path_may_be_so_long_and_no_longer() {
    let long = |length: usize| format!("/{}/debit/cancel", "x".repeat(length - 14));
    assert_eq!(long(1024).len(), 1024);
    assert_eq!(found(&table(), &long(1024)), "cancel");
    assert_eq!(found(&table(), &long(1025)), "ambiguous");
}

#[test]
fn two_products_share_the_name_space_of_orders() {
    let [create, widget] = ["create-order", "widget-pay"].map(named);
    assert_eq!(create.operation.namespace, widget.operation.namespace);
    assert_eq!(create.operation.identity, widget.operation.identity);
    assert_eq!(create.operation.fingerprint, widget.operation.fingerprint);
    let key = |namespace: &str| ClaimKey::derive("p", namespace, ["m", "r"]);
    let spaces = ["create-order", "top-up", "transfer-bank", "cancel", "refund"].map(named);
    for (at, one) in spaces.iter().enumerate() {
        for other in &spaces[..at] {
            let (one, other) = (&one.operation.namespace, &other.operation.namespace);
            assert_ne!(key(one), key(other), "{one} and {other}");
        }
    }
}

#[test]
fn what_names_a_payment_and_what_changes_it() {
    let check = |name: &str, namespace: &str, identity: &str, fingerprint: &str| {
        let operation = named(name).operation;
        let join = |pointers: &[Pointer]| {
            pointers.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        let Identity::Body(pointers) = &operation.identity else { panic!("{name}") };
        assert_eq!(operation.namespace, namespace, "{name}");
        assert_eq!(join(pointers), identity, "{name}");
        assert_eq!(join(&operation.fingerprint), fingerprint, "{name}");
        assert_eq!(operation.repeat, Repeat::ByReference, "{name}");
    };
    let order = "/merchantId /originalPartnerReferenceNo";
    let amount = "/amount/value /amount/currency";
    check("create-order", "order", "/merchantId /partnerReferenceNo", amount);
    check("widget-pay", "order", "/merchantId /partnerReferenceNo", amount);
    check("top-up", "topup", "/partnerReferenceNo", &format!("{amount} /customerNumber"));
    let bank = format!("{amount} /beneficiaryAccountNumber /beneficiaryBankCode");
    check("transfer-bank", "transfer", "/partnerReferenceNo", &bank);
    check("cancel", "cancel", order, amount);
    let refund = "/refundAmount/value /refundAmount/currency";
    check("refund", "refund", &format!("{order} /partnerRefundNo"), refund);
}

#[test]
fn follow_ups_and_statuses_concern_the_payment_that_was_made() {
    for (name, charge) in [
        ("cancel", "create-order"),
        ("refund", "create-order"),
        ("order-status", "create-order"),
        ("top-up-status", "top-up"),
        ("transfer-bank-status", "transfer-bank"),
    ] {
        let (operation, charge) = (named(name).operation, named(charge).operation);
        let concerns = operation.concerns.unwrap();
        let Identity::Body(identity) = charge.identity else { panic!("{name}") };
        assert_eq!(concerns.namespace, charge.namespace, "{name}");
        // Its identity under the names it has here, in the same order.
        let renamed = identity.iter().map(|pointer| {
            pointer.to_string().replace("partnerReferenceNo", "originalPartnerReferenceNo")
        });
        let here = concerns.identity.iter().map(ToString::to_string);
        assert_eq!(here.collect::<Vec<_>>(), renamed.collect::<Vec<_>>(), "{name}");
    }
    let table = table();
    for charge in ["create-order", "widget-pay", "top-up", "transfer-bank", "cancel"] {
        let path = named(charge).operation.inquiry_path.unwrap();
        let Matched::Operation(inquiry) = table.find(&path) else { panic!("{path}") };
        assert_eq!(inquiry.operation.class, Class::Inquiry, "{charge}: {path}");
    }
}

#[test]
fn a_later_operation_overrides_one_with_the_same_path() {
    let mut operations = dana_snap();
    let count = operations.len();
    let mut own = named("top-up").operation;
    own.name = "own-top-up".into();
    own.repeat = Repeat::Never;
    operations.push(own);
    let table = Table::new(operations);
    assert_eq!(table.iter().count(), count);
    assert_eq!(found(&table, "/rest/v1.0/emoney/topup"), "own-top-up");
    let mut added = named("top-up").operation;
    added.name = "cpm".into();
    added.path = "/qr/qr-cpm-payment".into();
    let table = Table::new(dana_snap().into_iter().chain([added]).collect());
    assert_eq!(found(&table, "/v1.0/qr/qr-cpm-payment.htm"), "cpm");
    assert_eq!(found(&table, "/rest/v1.0/emoney/topup"), "top-up");
}

proptest! {
    #[test]
    fn no_target_makes_it_panic_and_what_matches_ends_as_it_should(target in "\\PC{0,60}") {
        let table = table();
        if let Matched::Operation(compiled) = table.find(&target) {
            let path = target.split('?').next().unwrap().trim_end_matches(".htm");
            prop_assert!(path.ends_with(compiled.operation.path.as_ref()));
        }
    }

    #[test]
    fn a_spoilt_path_is_never_taken_for_the_call(
        line in 0..lines().count(), at in 0usize..60, spoil in "[%;#\\\\ A-Z\u{e9}]",
    ) {
        let [path, name, ..] = lines().nth(line).unwrap();
        let at = at % path.len();
        let spoilt = format!("{}{spoil}{}", &path[..at], &path[at..]);
        let found = found(&table(), &spoilt);
        // In the part before the suffix another letter is another prefix of the same call.
        let in_prefix = spoilt.trim_end_matches(".htm").ends_with(named(name).operation.path.as_ref());
        let is_letter = spoil.bytes().all(|byte| byte.is_ascii_alphabetic());
        prop_assert!(found != name || (in_prefix && is_letter), "{spoilt} is {found}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    /// In one pass over the bytes it is what it says, rule by rule.
    #[test]
    fn a_path_is_ambiguous_by_each_rule_of_its_own(path in r"[/.;%\\#a é\x00]{0,12}|/[/.a]{0,12}") {
        let has = |two: &str| path.contains(two);
        let is_odd = path.contains(['%', ';', '\\', '#']) || !path.chars().all(|c| c.is_ascii_graphic());
        let climbs = path.split('/').any(|segment| segment == "." || segment == "..");
        let expected = !path.starts_with('/') || is_odd || has("//") || climbs;
        prop_assert_eq!(is_ambiguous(&path), expected, "{}", path);
    }
}
