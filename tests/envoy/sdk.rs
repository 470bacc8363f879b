//! DANA's own SDKs as the merchants: what they send goes through, and what comes back, first
//! answers, replays and errors alike, parses into the SDKs' own types.
//!
//! Both SDKs live through the same stories, and must read the same in them.

use std::cell::Cell;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::envoy::{Envoy, quick, rendered, with};
use crate::support::merchant::{Keys, Merchant, Sdk, Told};
use crate::support::sandbox::Sandbox;
use crate::support::secrets::{ACCOUNT_NUMBER, CUSTOMER_NUMBER};
use crate::support::until;

/// A call that moves money: its name, the code of its success, and the inquiry that tells of it
/// with the status that it then has.
struct Deal {
    call: &'static str,
    service: &'static str,
    inquiry: &'static str,
    status: &'static str,
}

const DEALS: [Deal; 5] = [
    deal("create-order", "54", "order-status", "00"),
    deal("cancel-order", "57", "order-status", "05"),
    deal("refund-order", "58", "order-status", "00"),
    deal("topup", "38", "topup-status", "00"),
    deal("transfer-bank", "43", "transfer-bank-status", "00"),
];

const fn deal(
    call: &'static str,
    service: &'static str,
    inquiry: &'static str,
    status: &'static str,
) -> Deal {
    Deal { call, service, inquiry, status }
}

impl Deal {
    fn follows_an_order(&self) -> bool {
        matches!(self.call, "cancel-order" | "refund-order")
    }

    /// A code with this deal's service in the place of `xx`.
    fn code(&self, code: &str) -> String {
        code.replace("xx", self.service)
    }
}

const MERCHANT: &str = "216620010016033632482";

/// The request of a call, as both SDKs take it.
fn request(call: &str, reference: &str, rupiah: u32) -> Value {
    let amount = json!({"value": format!("{rupiah}.00"), "currency": "IDR"});
    let about =
        |service: &str| json!({"originalPartnerReferenceNo": reference, "serviceCode": service});
    match call {
        "create-order" => json!({
            "merchantId": MERCHANT,
            "partnerReferenceNo": reference,
            "amount": amount,
            "externalStoreId": "store-1",
            "urlParams": [
                {"url": "https://merchant.example.id/r", "type": "PAY_RETURN", "isDeeplink": "N"},
                {"url": "https://merchant.example.id/n", "type": "NOTIFICATION", "isDeeplink": "N"},
            ],
            "additionalInfo": {
                "mcc": "5732",
                "envInfo": {
                    "sourcePlatform": "IPG", "terminalType": "SYSTEM", "orderTerminalType": "WEB",
                },
                // One SDK escapes it, the other does not.
                "order": {
                    "orderTitle": "Kopi susu \u{e9}",
                    "merchantTransType": "SPECIAL_MOVIE",
                    "scenario": "REDIRECT",
                },
            },
        }),
        "order-status" => with(about("54"), &json!({"merchantId": MERCHANT})),
        "cancel-order" => json!({
            "merchantId": MERCHANT,
            "originalPartnerReferenceNo": reference,
            "reason": "test",
            "amount": amount,
        }),
        "refund-order" => json!({
            "merchantId": MERCHANT,
            "originalPartnerReferenceNo": reference,
            "partnerRefundNo": format!("{reference}-R"),
            "refundAmount": amount,
            "reason": "test",
        }),
        "topup" => json!({
            "partnerReferenceNo": reference,
            "customerNumber": CUSTOMER_NUMBER,
            "amount": amount,
            "feeAmount": {"value": "1.00", "currency": "IDR"},
            "additionalInfo": {"fundType": "AGENT_TOPUP_FOR_USER_SETTLE"},
        }),
        "topup-status" => about("38"),
        "transfer-bank" => json!({
            "partnerReferenceNo": reference,
            "customerNumber": CUSTOMER_NUMBER,
            "beneficiaryAccountNumber": ACCOUNT_NUMBER,
            "beneficiaryBankCode": "014",
            "amount": amount,
            "additionalInfo": {"fundType": "MERCHANT_WITHDRAW_FOR_CORPORATE"},
        }),
        "transfer-bank-status" => about("00"),
        other => panic!("no such call: {other}"),
    }
}

/// Two gateways that verify signatures, Envoy before them, and a merchant with each SDK.
struct Scene {
    sandbox: Sandbox,
    envoy: Envoy,
    keys: Keys,
    /// The last request that no story to come is about.
    page: Cell<u64>,
}

impl Scene {
    fn open() -> Self {
        let keys = Keys::make();
        // What the filter adds or changes must leave the signatures valid.
        let sandbox = Sandbox::start_with(&["--verify-key", keys.public().to_str().unwrap()]);
        let soon = json!({
            "idempotency": {"lease_ms": 6000, "repeat_after_ms": 40},
            "timeouts": {"response_ms": 2000, "inquiry_ms": 2000},
        });
        let envoy = Envoy::start(&rendered(&sandbox, &with(quick(), &soon)));
        Self { sandbox, envoy, keys, page: Cell::new(0) }
    }

    fn merchant(&self, sdk: Sdk) -> Merchant {
        Merchant::start(sdk, &self.keys, &self.envoy.listener)
    }

    fn merchants(&self) -> [Merchant; 2] {
        [self.merchant(Sdk::Python), self.merchant(Sdk::Node)]
    }

    /// Requests of this call with this reference that each of the gateways has received. Each must
    /// have been signed well.
    fn arrived(&self, call: &str, reference: &str) -> [usize; 2] {
        ["primary", "secondary"].map(|gateway| {
            let all = self.sandbox.requests_since(gateway, self.page.get());
            assert!(all.iter().all(|r| r["signature_valid"] == true), "{all:#?}");
            let about = |r: &&Value| r["operation"] == call && r["reference"] == reference;
            all.iter().filter(about).count()
        })
    }

    /// Leaves all that has arrived behind.
    fn turn_the_page(&self) {
        let of = |gateway| self.sandbox.requests_since(gateway, self.page.get());
        let all = [of("primary"), of("secondary")].concat();
        let last = all.iter().filter_map(|request| request["seq"].as_u64()).max();
        self.page.set(last.unwrap_or_else(|| self.page.get()));
    }

    /// Hurts the next request of this call at the primary.
    fn hurt_once(&self, call: &str, fault: &Value) {
        self.sandbox
            .fault("primary", &with(fault.clone(), &json!({"operation": call, "count": 1})));
    }

    /// Where each payment with this reference was executed: the order, and what followed it.
    fn executed_at(&self, reference: &str) -> Vec<Value> {
        let entries = self.sandbox.entries(reference);
        entries.iter().map(|payment| payment["executed_at"].clone()).collect()
    }

    /// In both ledgers, every payment was executed once.
    fn assert_nothing_is_paid_twice(&self) {
        let ledger = self.sandbox.ledger();
        let payments = ledger["payments"].as_array().unwrap();
        assert!(payments.iter().all(|payment| payment["executions"] == 1), "{payments:#?}");
        assert_eq!(ledger["executed_at_both"], 0);
    }
}

/// What an SDK is to make of the first answer.
enum First {
    /// An object with this code.
    Object(&'static str),
    /// Its own error, with this code and this outcome in the body.
    Error(&'static str, &'static str),
}

struct Story {
    name: &'static str,
    /// What the primary does to the first copy.
    fault: Value,
    /// Whether that leaves it certain that the payment was not made.
    is_definite: bool,
    first: First,
    /// Copies that the primary has received in the end, each repeat included.
    copies: usize,
}

fn story(name: &'static str, fault: Value, first: First, copies: usize) -> Story {
    Story { name, fault, is_definite: false, first, copies }
}

fn code(name: &'static str, code: &'static str, first: First) -> Story {
    story(name, json!({"fault": "code", "code": code}), first, 2)
}

fn no(name: &'static str, no: &'static str) -> Story {
    Story { is_definite: true, ..code(name, no, First::Error(no, "")) }
}

/// Every story ends well: whatever the first answer was, a repeat of the same payment is answered
/// with the same object for ever, and the gateway has executed it once.
fn stories() -> Vec<Story> {
    let unknown = || First::Error("504xx00", "unknown");
    vec![
        story("well", json!({"fault": "none"}), First::Object("200xx00"), 1),
        story("lost answer", json!({"fault": "reset"}), unknown(), 2),
        story("lost request", json!({"fault": "reset", "executes": false}), unknown(), 2),
        // Envoy's own answer, past the filter.
        story(
            "half an answer",
            json!({"fault": "truncate"}),
            First::Error("5040000", "unknown"),
            2,
        ),
        story("a middlebox", json!({"fault": "html", "status": 502}), unknown(), 2),
        code("not the first copy", "404xx18", unknown()),
        // Pending by DANA's own tables: relayed as they are.
        code("in progress", "202xx00", First::Object("202xx00")),
        code("too many requests", "429xx00", First::Error("429xx00", "")),
        code("internal error", "500xx01", First::Error("500xx01", "")),
        // Definite: relayed, and the same payment may be tried again at once.
        no("no funds", "403xx14"),
        no("general error", "500xx00"),
    ]
}

/// The name of the error that an SDK makes of a status.
fn error_of(sdk: Sdk, status: u64) -> &'static str {
    match (sdk, status) {
        (Sdk::Node, _) => "ResponseError",
        (Sdk::Python, 403) => "ForbiddenException",
        (Sdk::Python, 404) => "NotFoundException",
        (Sdk::Python, 500..) => "ServiceException",
        (Sdk::Python, _) => "ApiException",
    }
}

/// The SDK made its own error of the answer: with the status, the type that stands for it, and the
/// body, in which code and outcome can be read.
fn check_error(merchant: &Merchant, told: &Told, code: &str, outcome: &str) {
    let status: u64 = code[..3].parse().unwrap();
    let found = (told.status(), told.error(), told.code(), told.outcome());
    assert_eq!(found, (status, error_of(merchant.sdk, status), code, outcome), "{told:?}");
    if outcome == "unknown" {
        assert_eq!(told.body()["safe_new_key"], false, "{told:?}");
    }
}

/// The merchant repeats a payment that is done: the SDK returns an object that equals the one
/// before in its own terms, and as JSON.
fn check_replay(merchant: &mut Merchant, call: &str, request: &Value, before: &Told) {
    let again = merchant.call(call, request);
    assert_eq!(again.equals_the_one_before(), Some(true), "{before:?}, then {again:?}");
    assert_eq!(again.value(), before.value());
}

/// One merchant lives through one story with one kind of payment; what it was told on the way.
fn live(
    scene: &Scene,
    merchant: &mut Merchant,
    deal: &Deal,
    story: &Story,
    name: &str,
) -> Vec<Told> {
    scene.turn_the_page();
    let asked = request(deal.call, name, 10_000);
    if deal.follows_an_order() {
        let order = merchant.call("create-order", &request("create-order", name, 10_000));
        assert_eq!(order.code(), "2005400", "{order:?}");
    }
    if story.fault["fault"] != "none" {
        scene.hurt_once(deal.call, &story.fault);
    }
    let first = merchant.call(deal.call, &asked);
    match story.first {
        // What is no success this SDK knows of, it makes nothing of.
        First::Object("202xx00") if knows_no_202(merchant.sdk, deal.call) => {
            assert!(first.value().is_null(), "{first:?}");
        }
        First::Object(code) => assert_eq!(first.value()["responseCode"], deal.code(code)),
        First::Error(code, outcome) => check_error(merchant, &first, &deal.code(code), outcome),
    }
    let success = deal.code("200xx00");
    let done = if story.copies == 1 {
        first.clone()
    } else if story.is_definite {
        merchant.call(deal.call, &asked)
    } else {
        until("a repeat is let through", Duration::from_secs(5), || {
            let told = merchant.call(deal.call, &asked);
            if told.code() == success {
                return Some(told);
            }
            check_error(merchant, &told, &deal.code("504xx00"), "unknown");
            None
        })
    };
    assert_eq!(done.value()["responseCode"], success, "{done:?}");

    let dearer = merchant.call(deal.call, &request(deal.call, name, 20_000));
    check_error(merchant, &dearer, &deal.code("404xx18"), "not_executed");
    check_replay(merchant, deal.call, &asked, &done);

    let status = merchant.call(deal.inquiry, &request(deal.inquiry, name, 10_000));
    assert_eq!(status.value()["latestTransactionStatus"], deal.status, "{status:?}");

    assert_eq!(scene.arrived(deal.call, name), [story.copies, 0]);
    let executed = scene.executed_at(name);
    assert_eq!(executed.len(), 1 + usize::from(deal.follows_an_order()));
    assert!(executed.iter().all(|places| *places == json!(["primary"])), "{executed:?}");
    vec![first, done, dearer, status]
}

/// DANA's Python SDK returns nothing for a 202 where its models know only a 200.
fn knows_no_202(sdk: Sdk, call: &str) -> bool {
    sdk == Sdk::Python && matches!(call, "create-order" | "topup")
}

/// What was told, without what differs from one payment to the next and from one SDK to the other:
/// references, the gateway's own numbers, the types of errors.
fn common(told: &[Told], name: &str) -> Vec<Value> {
    told.iter()
        .map(|told| {
            let mut fields = told.fields().clone();
            mask(&mut fields, name);
            fields.as_object_mut().unwrap().remove("error");
            if let Some(body) = fields["body"].as_object_mut() {
                // The Python SDK adds its own advice to some gateways' messages.
                body.remove("responseMessage");
            }
            fields
        })
        .collect()
}

/// What is made anew for each payment or request.
const MINTED: [&str; 5] =
    ["referenceNo", "originalReferenceNo", "refundNo", "webRedirectUrl", "request_id"];

fn mask(value: &mut Value, name: &str) {
    match value {
        Value::Object(fields) => {
            for (field, value) in fields {
                if MINTED.contains(&field.as_str()) {
                    assert_ne!(value.as_str().unwrap_or_default(), "", "{field}");
                    *value = json!("minted");
                } else {
                    mask(value, name);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| mask(item, name)),
        Value::String(text) => *text = text.replace(name, "NAME"),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// One merchant lives through all stories with every kind of payment; what it read in each.
fn live_through_all(sdk: Sdk) -> Vec<(String, Vec<Value>)> {
    let scene = Scene::open();
    let mut merchant = scene.merchant(sdk);
    let mut read = Vec::new();
    for story in stories() {
        for deal in &DEALS {
            let title = format!("{}-{}", story.name.replace(' ', "-"), deal.call);
            let name = format!("{sdk:?}-{title}");
            let told = live(&scene, &mut merchant, deal, &story, &name);
            read.push((title, common(&told, &name)));
        }
    }
    scene.assert_nothing_is_paid_twice();
    read
}

#[test]
fn both_sdks_read_the_same_in_every_story_and_each_payment_is_made_once() {
    let (python, node) = std::thread::scope(|scope| {
        let python = scope.spawn(|| live_through_all(Sdk::Python));
        let node = live_through_all(Sdk::Node);
        (python.join().unwrap(), node)
    });
    assert_eq!(python.len(), stories().len() * DEALS.len());
    for ((title, mut python), (same, mut node)) in python.into_iter().zip(node) {
        assert_eq!(title, same);
        if ["in-progress-create-order", "in-progress-topup"].contains(&title.as_str()) {
            // One of them knows no 202: neither the first answer, nor whether the second equals it.
            (python[0], node[0]) = (Value::Null, Value::Null);
            (python[1]["equal"], node[1]["equal"]) = (Value::Null, Value::Null);
        }
        assert_eq!(python, node, "{title}");
    }
}

#[test]
fn while_a_gateway_refuses_the_other_one_is_paid_and_what_follows_stays_where_the_order_is() {
    let scene = Scene::open();
    let mut merchants = scene.merchants();
    let followed = || DEALS.iter().filter(|deal| deal.follows_an_order());
    let paid = || DEALS.iter().filter(|deal| !deal.follows_an_order());
    let name = |sdk: Sdk, place: &str, deal: &Deal| format!("{sdk:?}-{place}-{}", deal.call);
    for merchant in &mut merchants {
        for deal in followed() {
            let order = name(merchant.sdk, "first", deal);
            let told = merchant.call("create-order", &request("create-order", &order, 10_000));
            assert_eq!(told.code(), "2005400", "{told:?}");
        }
    }

    scene.sandbox.fault("primary", &json!({"fault": "refuse"}));
    let mut done = Vec::new();
    for merchant in &mut merchants {
        for deal in paid() {
            let name = name(merchant.sdk, "second", deal);
            let asked = request(deal.call, &name, 10_000);
            let first = merchant.call(deal.call, &asked);
            assert_eq!(first.value()["responseCode"], deal.code("200xx00"), "{first:?}");
            check_replay(merchant, deal.call, &asked, &first);
            assert_eq!(scene.executed_at(&name), [json!(["secondary"])]);
            done.push(first);
        }
        for deal in followed() {
            let order = name(merchant.sdk, "second", deal);
            let told = merchant.call("create-order", &request("create-order", &order, 10_000));
            assert_eq!(told.code(), "2005400", "{told:?}");
            // Nobody but the gateway that holds the order can do it, and it was not asked.
            let name = name(merchant.sdk, "first", deal);
            let told = merchant.call(deal.call, &request(deal.call, &name, 10_000));
            check_error(merchant, &told, &deal.code("503xx00"), "not_executed");
            assert_eq!(scene.arrived(deal.call, &name), [0, 0]);
        }
    }

    scene.sandbox.heal("primary");
    let mut done = done.iter();
    for merchant in &mut merchants {
        for deal in paid() {
            let name = name(merchant.sdk, "second", deal);
            let asked = request(deal.call, &name, 10_000);
            check_replay(merchant, deal.call, &asked, done.next().unwrap());
            let status = merchant.call(deal.inquiry, &request(deal.inquiry, &name, 10_000));
            assert_eq!(status.value()["latestTransactionStatus"], deal.status, "{status:?}");
            assert_eq!(scene.arrived(deal.call, &name), [0, 1]);
            assert_eq!(scene.arrived(deal.inquiry, &name), [0, 1]);
        }
        for deal in followed() {
            for (place, copies) in [("first", [1, 0]), ("second", [0, 1])] {
                let name = name(merchant.sdk, place, deal);
                let asked = request(deal.call, &name, 10_000);
                let told = until("its gateway can be reached", Duration::from_secs(5), || {
                    let told = merchant.call(deal.call, &asked);
                    (told.outcome() != "not_executed").then_some(told)
                });
                assert_eq!(told.value()["responseCode"], deal.code("200xx00"), "{told:?}");
                check_replay(merchant, deal.call, &asked, &told);
                assert_eq!(scene.arrived(deal.call, &name), copies, "{name}");
            }
        }
    }
    scene.assert_nothing_is_paid_twice();
}

#[test]
fn a_payment_under_way_is_told_as_in_progress_and_then_as_the_one_that_was_made() {
    let scene = Scene::open();
    for sdk in [Sdk::Python, Sdk::Node] {
        let [mut one, mut other] = [scene.merchant(sdk), scene.merchant(sdk)];
        let name = format!("{sdk:?}-under-way");
        let asked = request("create-order", &name, 10_000);
        // Its start must not take part of the second for which the payment is under way.
        other.call("create-order", &request("create-order", &format!("{sdk:?}-early"), 10_000));
        scene.hurt_once("create-order", &json!({"fault": "slow", "delay_ms": 1000}));
        one.order("create-order", &asked);
        until("the gateway has the payment", Duration::from_secs(10), || {
            (scene.arrived("create-order", &name) == [1, 0]).then_some(())
        });
        let meanwhile = other.call("create-order", &asked);
        check_error(&other, &meanwhile, "4295400", "in_progress");
        let made = one.told();
        assert_eq!(made.code(), "2005400", "{made:?}");
        check_replay(&mut one, "create-order", &asked, &made);
        let replayed = other.call("create-order", &asked);
        assert_eq!(replayed.value(), made.value());
        assert_eq!(scene.arrived("create-order", &name), [1, 0]);
    }
    scene.assert_nothing_is_paid_twice();
}

#[test]
fn an_inquiry_after_a_lost_answer_never_reads_as_failed() {
    let scene = Scene::open();
    for merchant in &mut scene.merchants() {
        let [made, lost] = ["made", "lost"].map(|what| format!("{:?}-{what}", merchant.sdk));
        let asked = request("create-order", &made, 10_000);
        scene.hurt_once("create-order", &json!({"fault": "hang"}));
        let told = merchant.call("create-order", &asked);
        check_error(merchant, &told, "5045400", "unknown");
        let status = merchant.call("order-status", &request("order-status", &made, 10_000));
        assert_eq!(status.value()["latestTransactionStatus"], "00", "{status:?}");
        // The inquiry told that it was made; where to pay is told by whoever made it, once more.
        let told = merchant.call("create-order", &asked);
        assert_eq!(told.value()["responseCode"], "2005400", "{told:?}");
        assert!(told.value()["webRedirectUrl"].is_string(), "{told:?}");
        assert_eq!(scene.arrived("create-order", &made), [2, 0]);
        check_replay(merchant, "create-order", &asked, &told);
        assert_eq!(scene.arrived("create-order", &made), [2, 0]);

        let asked = request("create-order", &lost, 10_000);
        scene.hurt_once("create-order", &json!({"fault": "reset", "executes": false}));
        let told = merchant.call("create-order", &asked);
        check_error(merchant, &told, "5045400", "unknown");
        // By DANA's table a 4045501 reads: failed, make a new order.
        let status = merchant.call("order-status", &request("order-status", &lost, 10_000));
        check_error(merchant, &status, "5045500", "unknown");
        assert_eq!(status.body()["gateway_code"], "4045501", "{status:?}");
        let done = until("a repeat is let through", Duration::from_secs(5), || {
            let told = merchant.call("create-order", &asked);
            (told.code() == "2005400").then_some(told)
        });
        check_replay(merchant, "create-order", &asked, &done);
        assert_eq!(scene.arrived("create-order", &lost), [2, 0]);
    }
    scene.assert_nothing_is_paid_twice();
}

#[test]
fn what_one_sdk_paid_the_other_gets_as_a_replay() {
    let scene = Scene::open();
    let mut merchants = scene.merchants();
    for deal in &DEALS {
        for _ in 0..merchants.len() {
            // The two write the same payment with other white space, escapes and time stamps.
            merchants.reverse();
            let [payer, repeater] = &mut merchants;
            let name = format!("{:?}-pays-{}", payer.sdk, deal.call);
            if deal.follows_an_order() {
                payer.call("create-order", &request("create-order", &name, 10_000));
            }
            let asked = request(deal.call, &name, 10_000);
            let paid = payer.call(deal.call, &asked);
            assert_eq!(paid.value()["responseCode"], deal.code("200xx00"), "{paid:?}");
            let replayed = repeater.call(deal.call, &asked);
            assert_eq!(replayed.value(), paid.value());
            assert_eq!(scene.arrived(deal.call, &name), [1, 0]);
        }
    }
    scene.assert_nothing_is_paid_twice();
}
