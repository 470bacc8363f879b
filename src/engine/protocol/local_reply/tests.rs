//! What a merchant reads in each answer.

use super::*;

fn all() -> Vec<LocalReply> {
    let retry_after = Millis::new(1500);
    let refusals = [
        RequestError::Unmatched,
        RequestError::AmbiguousPath,
        RequestError::Peer,
        RequestError::Operation,
        RequestError::Method { allowed: "POST" },
        RequestError::NoIdentity("x is missing.".to_owned()),
        RequestError::BadField("x is not a string.".to_owned()),
        RequestError::BodyTooLarge { bytes_max: 10 },
    ];
    let whys = [
        NotExecuted::NoGateway,
        NotExecuted::PinnedGatewayDown,
        NotExecuted::NeverSent,
        NotExecuted::StoreFull,
        NotExecuted::RateLimited,
    ];
    let standings =
        [Standing::Unasked, Standing::NotExecuted, Standing::Unknown, Standing::Executed];
    let refused = |refusal: RequestError| {
        standings.map(|standing| LocalReply::Refused { refusal: refusal.clone(), standing })
    };
    let mut all: Vec<LocalReply> = refusals.into_iter().flat_map(refused).collect();
    all.extend(whys.map(|why| LocalReply::NotExecuted { why, retry_after }));
    all.extend([Closed::Failed, Closed::Cancelled, Closed::Refunded].map(LocalReply::Closed));
    all.extend([true, false].map(|unknown| LocalReply::InProgress { unknown, retry_after }));
    let unknown = [Unknown::Sent, Unknown::Earlier, Unknown::Asked];
    all.extend(unknown.map(|what| LocalReply::Unknown { what, retry_after }));
    all.extend([LocalReply::NoAnswer { retry_after }, LocalReply::Contradicted]);
    all.push(LocalReply::StoreFailed { retry_after });
    all.extend(
        [None, Some(retry_after)].map(|retry_after| LocalReply::AlreadyExecuted { retry_after }),
    );
    all.push(LocalReply::Mismatch);
    all
}

#[test]
fn none_reads_as_failed_while_a_charge_may_exist() {
    for saying in all() {
        let reply = saying.reply(Protocol::DanaSnap, &ReplyContext::default());
        let body: Value = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!(body["status"], reply.status, "{saying:?}");
        assert!(body["responseCode"].as_str().unwrap().starts_with(&reply.status.to_string()));
        assert!((400..600).contains(&reply.status), "never 2xx or 3xx: {saying:?}");
        let unseen = [Standing::Unasked, Standing::NotExecuted];
        let is_unseen = |saying: &LocalReply| matches!(saying, LocalReply::Refused { standing, .. } if unseen.contains(standing));
        let of_another = saying == LocalReply::Mismatch || is_unseen(&saying);
        if of_another {
            assert_eq!(body["safe_new_key"], false, "{saying:?}");
        } else if body["safe_new_key"] == false {
            // What DANA's tables call pending: 429xx00 and 5xx other than 500xx00.
            assert!(matches!(reply.status, 429 | 501..), "{saying:?} reads as failed");
        } else {
            assert_ne!(body["outcome"], "unknown", "{saying:?}");
            assert_ne!(body["outcome"], "in_progress", "{saying:?}");
        }
    }
}

#[test]
fn it_names_what_helps() {
    let about = ReplyContext {
        service_code: Some("54"),
        inquiry_path: Some("/debit/status"),
        gateway: Some("primary"),
        gateway_code: Some("4045418"),
        follows_up: false,
        memory: Memory::Whole,
        request_id: "r-1",
    };
    let saying = LocalReply::Unknown { what: Unknown::Sent, retry_after: Millis::new(1500) };
    let reply = saying.reply(Protocol::DanaSnap, &about);
    let body: Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!(body["responseCode"], "5045400");
    assert_eq!(body["gateway"], "primary");
    assert_eq!(body["gateway_code"], "4045418");
    assert_eq!(body["inquiry_path"], "/debit/status");
    assert_eq!(body["request_id"], "r-1");
    assert!(reply.headers.contains(&("retry-after", "2".to_owned())));
    assert_eq!(LocalReply::Mismatch.reply(Protocol::Http, &about).status, 422);
}

/// How a cancel or refund ended is not how its payment ended: nobody may pay again for it.
#[test]
fn none_lets_a_payment_be_made_again_for_the_sake_of_its_follow_up() {
    for saying in all() {
        let about = ReplyContext { follows_up: true, ..ReplyContext::default() };
        let reply = saying.reply(Protocol::DanaSnap, &about);
        let body: Value = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!(body["safe_new_key"], false, "{saying:?}");
        let detail = body["detail"].as_str().unwrap();
        assert!(
            !detail.contains("payment failed") && !detail.contains("payment was cancelled"),
            "{detail}"
        );
    }
}
