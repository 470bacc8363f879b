//! What operators may ask for, and how everything else is refused.

use serde_json::json;

use super::*;

fn config() -> Config {
    let config = r#"{"gateways": [{"name": "primary", "cluster": "one"},
                                  {"name": "secondary", "cluster": "two"}]}"#;
    Config::parse(config.as_bytes()).unwrap()
}

struct Sent<'a> {
    method: &'a str,
    target: &'a str,
    accept: &'a str,
    content_type: &'a str,
    body: &'a [u8],
    user: Option<&'a str>,
}

const GET: Sent<'_> =
    Sent { method: "GET", target: "/", accept: "*/*", content_type: "", body: b"", user: None };

impl Sent<'_> {
    fn read(&self) -> Result<Ask, Problem> {
        let headers: Vec<(&[u8], &[u8])> = vec![
            (b":method", self.method.as_bytes()),
            (b":path", self.target.as_bytes()),
            (b"accept", self.accept.as_bytes()),
            (b"content-type", self.content_type.as_bytes()),
        ];
        let request = Request { headers: &headers, body: self.body, peer: &[], context: 1 };
        let caller = Caller { user: self.user.map(str::to_owned) };
        Ask::read(&request, Some(&caller), &config())
    }
}

fn post(target: &str, user: Option<&str>, body: &str) -> Result<Ask, Problem> {
    let content_type = "application/json";
    Sent { method: "POST", target, content_type, body: body.as_bytes(), user, ..GET }.read()
}

fn status_of(problem: &Problem) -> u16 {
    problem.reply().status
}

#[test]
fn what_can_be_read_is_read_by_get_and_head() {
    for method in ["GET", "HEAD"] {
        assert_eq!(Sent { method, ..GET }.read(), Ok(Ask::Page));
        assert_eq!(Sent { method, target: "/status", ..GET }.read(), Ok(Ask::Status));
        assert_eq!(Sent { method, target: "/ready", ..GET }.read(), Ok(Ask::Ready));
    }
    for (method, target, allow) in [
        ("POST", "/", "GET, HEAD"),
        ("PUT", "/status", "GET, HEAD"),
        ("OPTIONS", "/status", "GET, HEAD"),
        ("", "/status", "GET, HEAD"),
        ("GET, HEAD", "/status", "GET, HEAD"),
        ("POST", "/ready", "GET, HEAD"),
        ("GET", "/override", "POST"),
        ("HEAD", "/override", "POST"),
    ] {
        let problem = Sent { method, target, ..GET }.read().unwrap_err();
        assert_eq!(problem, Problem::Method { allow }, "{method} {target}");
        assert!(problem.reply().headers.contains(&("allow", allow.to_owned())));
    }
    for target in ["", "*", "/x", "/status/", "//status", "/Status", "/%73tatus", "/favicon.ico"] {
        assert_eq!(Sent { target, ..GET }.read(), Err(Problem::NotFound), "{target}");
    }
    let problem = Sent { target: "/status?format=xml", ..GET }.read().unwrap_err();
    let told = problem.reply().body;
    let told = String::from_utf8(told).unwrap();
    assert!(told.contains("query: expected nothing after the path, found format=xml"), "{told}");
}

#[test]
fn html_is_for_whoever_prefers_it() {
    for (accept, html) in [
        ("", false),
        ("*/*", false),
        ("application/json", false),
        ("text/html", true),
        ("TEXT/HTML", true),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", true),
        ("text/*", true),
        ("text/html;q=0.5, application/json", false),
        ("application/json;q=0.5, text/html;q=0.501", true),
        ("text/html;q=0", false),
        ("text/html;q=0, */*", false),
        ("text/html;level=1;q=0.3,application/*;q=0.2", true),
        ("text/html;q=99999999999999999999", false),
        ("text/html;q=-1", false),
        (",;,=;q,text/html;q=", false),
    ] {
        let expected = if html { Ask::Page } else { Ask::Status };
        assert_eq!(Sent { target: "/status", accept, ..GET }.read(), Ok(expected), "{accept}");
    }
}

#[test]
fn an_override_is_read() {
    let body = json!({"gateway": "primary", "steer": "drain", "ttl_s": 90, "reason": "planned work",
                      "actor": "anna"});
    let wish = |steer| OverrideRequest {
        gateway: "primary".to_owned(),
        change: steer,
        actor: "anna".to_owned(),
        reason: "planned work".to_owned(),
    };
    let drain = Wanted::Override(OverrideKind::Drain, Millis::new(90_000));
    assert_eq!(post("/override", None, &body.to_string()), Ok(Ask::Override(wish(drain))));
    // Who says in the request who they are is that one.
    assert_eq!(post("/override", Some("bo"), &body.to_string()), Ok(Ask::Override(wish(drain))));
    let force = r#"{"gateway":"primary","steer":"force","ttl_s":86400,"reason":"planned work"}"#;
    let day = Wanted::Override(OverrideKind::Force, Millis::new(limits::OVERRIDE_TTL_MS_MAX));
    assert_eq!(post("/override", Some("anna"), force), Ok(Ask::Override(wish(day))));
    let auto = r#"{"gateway":"primary","steer":"auto","reason":"planned work"}"#;
    assert_eq!(post("/override", Some("anna"), auto), Ok(Ask::Override(wish(Wanted::Auto))));
    let admit = auto.replace("auto", "admit");
    let admitted = post("/override", Some("anna"), &admit);
    assert_eq!(admitted, Ok(Ask::Override(wish(Wanted::Admit))));
}

/// An override with one field changed, and the one thing that is said about it.
fn check(field: &str, value: Option<Value>, expected: &str) {
    let mut body =
        json!({"gateway": "primary", "steer": "drain", "ttl_s": 60, "reason": "r", "actor": "a"});
    match value {
        Some(value) => body[field] = value,
        None => drop(body.as_object_mut().unwrap().remove(field)),
    }
    let problem = post("/override", None, &body.to_string()).unwrap_err();
    let Problem::Mistakes(mistakes) = &problem else { panic!("{problem:?}") };
    let told: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
    assert_eq!(told, [expected], "{body}");
    assert_eq!(status_of(&problem), 400);
}

#[test]
fn every_mistake_in_an_override_is_named() {
    const GATEWAY: &str = "gateway: expected \"primary\" or \"secondary\"";
    check("gateway", Some(json!("third")), &format!("{GATEWAY}, found \"third\""));
    check("gateway", Some(json!(["primary"])), &format!("{GATEWAY}, found a list"));
    check("gateway", None, &format!("{GATEWAY}, found nothing"));
    const STEER: &str = "steer: expected \"force\" or \"drain\" or \"auto\" or \"admit\"";
    check("steer", Some(json!("stop")), &format!("{STEER}, found \"stop\""));
    check("steer", Some(json!("Drain")), &format!("{STEER}, found \"Drain\""));
    check("steer", None, &format!("{STEER}, found nothing"));
    const TTL: &str = "ttl_s: expected a whole number from 1 to 86400";
    for (value, found) in [
        (json!(0), "0"),
        (json!(86_401), "86401"),
        (json!(-1), "-1"),
        (json!(1.5), "1.5"),
        (json!("60"), "\"60\""),
        (Value::Null, "null"),
        (json!(u64::MAX), "18446744073709551615"),
    ] {
        check("ttl_s", Some(value), &format!("{TTL}, found {found}"));
    }
    check("ttl_s", None, &format!("{TTL}, in seconds, found nothing"));
    check("steer", Some(json!("auto")), "ttl_s: expected nothing: auto has no end, found 60");
    const REASON: &str = "reason: expected why, 1 to 256 bytes of plain text";
    check("reason", None, &format!("{REASON}, found nothing"));
    check("reason", Some(json!("")), &format!("{REASON}, found \"\""));
    check("reason", Some(json!("  ")), &format!("{REASON}, found \"  \""));
    check("reason", Some(json!("a\nb")), &format!("{REASON}, found \"a\\nb\""));
    const ACTOR: &str = "actor: expected who asks, 1 to 64 bytes of plain text";
    check("actor", None, &format!("{ACTOR}, found nothing"));
    check("actor", Some(json!(7)), &format!("{ACTOR}, found 7"));
    check(
        "steeer",
        Some(json!("x")),
        "steeer: expected one of gateway, steer, ttl_s, actor, reason, found the unknown field \
         \"steeer\" (\"x\")",
    );
}

#[test]
fn texts_are_what_they_look_like() {
    for (text, plain) in [
        ("anna", true),
        ("Zoë 支付 <b>&\"'", true),
        ("", false),
        (" \u{a0} ", false),
        ("a\tb", false),
        ("a\u{7f}", false),
        ("a\u{85}", false),
        ("a\u{202e}b", false),
        ("a\u{2066}b", false),
        ("a\u{200b}b", false),
        ("a\u{2028}b", false),
        ("\u{feff}a", false),
    ] {
        assert_eq!(is_plain(text, 64), plain, "{text:?}");
    }
    assert!(is_plain(&"é".repeat(32), 64) && !is_plain(&"é".repeat(33), 64));
    // A user name that is none is as good as nobody.
    let auto = r#"{"gateway":"primary","steer":"auto","reason":"r"}"#;
    for user in ["a\u{202e}b".to_owned(), "x".repeat(65)] {
        let problem = post("/override", Some(&user), auto).unwrap_err();
        assert!(format!("{problem:?}").contains("actor"), "{problem:?}");
    }
}

#[test]
fn hostile_bodies_are_refused() {
    let deep = format!("{{\"gateway\":{}", "[".repeat(3000));
    let twice = r#"{"gateway":"primary","gateway":"secondary","steer":"auto","reason":"r"}"#;
    for body in
        ["", "null", "[]", "\"x\"", "{", "{}{}", "{\"a\":1e999}", "\u{feff}{}", twice, &deep]
    {
        let problem = post("/override", Some("anna"), body).unwrap_err();
        assert_eq!(status_of(&problem), 400, "{body}");
        let told = String::from_utf8(problem.reply().body).unwrap();
        assert!(told.contains("body: expected one JSON object"), "{told}");
        assert!(told.len() < 1000, "{told}");
    }
    let long = format!("{{{}", " ".repeat(limits::ADMIN_BODY_BYTES_MAX));
    assert_eq!(post("/override", None, &long), Err(Problem::TooLarge));
    let nothing = post("/override", None, "{}").unwrap_err();
    let Problem::Mistakes(mistakes) = nothing else { panic!() };
    assert_eq!(mistakes.len(), 5, "all at once: {mistakes:?}");
}

#[test]
fn only_json_is_posted() {
    let body = br#"{"gateway":"primary","steer":"auto","reason":"r"}"#;
    let send = |content_type| {
        let user = Some("anna");
        Sent { method: "POST", target: "/override", content_type, body, user, ..GET }.read()
    };
    for good in ["application/json", "Application/JSON", "application/json; charset=utf-8"] {
        assert!(send(good).is_ok(), "{good}");
    }
    for bad in [
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=application/json",
        "application/jsonp",
        "text/plain, application/json",
    ] {
        let problem = send(bad).unwrap_err();
        assert!(matches!(problem, Problem::ContentType { .. }), "{bad}: {problem:?}");
        assert_eq!(status_of(&problem), 415);
    }
}

/// What is said of a word on a payment with one field changed.
fn check_word(field: &str, value: Option<Value>, expected: &str) {
    let mut body = json!({"key": "0123456789abcdef", "executed": false, "evidence": "CASE-7",
                          "reason": "r", "actor": "a"});
    match value {
        Some(value) => body[field] = value,
        None => drop(body.as_object_mut().unwrap().remove(field)),
    }
    let problem = post("/resolve", None, &body.to_string()).unwrap_err();
    let Problem::Mistakes(mistakes) = &problem else { panic!("{problem:?}") };
    let told: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
    assert_eq!(told, [expected], "{body}");
}

#[test]
fn a_word_on_a_payment_is_read() {
    let word = |verdict| ResolveRequest {
        key: KeyFront::parse("0123456789abcdef").unwrap(),
        verdict,
        evidence: "CASE-7".to_owned(),
        actor: "anna".to_owned(),
        reason: "asked".to_owned(),
    };
    let rest = r#""key":"0123456789ABcdef","evidence":"CASE-7","reason":"asked""#;
    for (verdict, expected) in [
        (r#""executed":false"#, ResolvedAs::NotExecuted),
        (r#""executed_at":"old-name""#, ResolvedAs::ExecutedAt("old-name".to_owned())),
    ] {
        let read = post("/resolve", Some("anna"), &format!("{{{verdict},{rest}}}"));
        assert_eq!(read, Ok(Ask::Resolve(word(expected))));
    }
}

#[test]
fn every_mistake_in_a_word_on_a_payment_is_named() {
    const KEY: &str =
        "key: expected 16 to 64 hexadecimal digits, in pairs: the front of a claim key";
    check_word("key", None, &format!("{KEY}, found nothing"));
    for bad in
        ["", "0123456789abcde", "0123456789abcdefg0", "0123456789abcdef0", "0x23456789abcdef"]
    {
        check_word("key", Some(json!(bad)), &format!("{KEY}, found \"{bad}\""));
    }
    const VERDICT: &str = "executed_at: expected a gateway's name; or executed: false";
    check_word("executed", None, &format!("{VERDICT}, found nothing"));
    let both = "executed: expected nothing beside executed_at, found false";
    check_word("executed_at", Some(json!("primary")), both);
    let so = "executed: expected false; of a payment that was executed, executed_at says where, found true";
    check_word("executed", Some(json!(true)), so);
    check_word("executed", Some(json!("no")), "executed: expected true or false, found \"no\"");
    const EVIDENCE: &str = "evidence: expected the id of the proof, 1 to 128 bytes of plain text";
    check_word("evidence", None, &format!("{EVIDENCE}, found nothing"));
    check_word("evidence", Some(json!("a\u{0}")), &format!("{EVIDENCE}, found \"a\\u0000\""));
}
