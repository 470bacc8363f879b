//! What a gateway received, request by request, for as long as memory is set aside for it.

use std::collections::{BTreeMap, VecDeque};

use hyper::HeaderMap;
use serde_json::{Value, json};

/// How many of its last requests a gateway remembers.
pub(super) const REQUESTS_MAX: usize = 10_000;
/// How much of a path or a header is remembered; what is longer is cut.
const TEXT_CHARS_MAX: usize = 512;
const HIDDEN: &str = "(hidden)";
/// Names that contain one of these hold what nobody should find in a log.
const SECRET_NAMES: [&str; 4] = ["signature", "authorization", "secret", "cookie"];

/// One received request. What became of it is filled in when it has become something.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) seq: u64,
    pub(super) time: String,
    pub(super) method: String,
    pub(super) path: String,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body_bytes: usize,
    pub(super) body_sha256: String,
    pub(super) operation: Option<&'static str>,
    pub(super) reference: String,
    pub(super) amount: String,
    pub(super) signature_valid: Option<bool>,
    pub(super) fault: Option<&'static str>,
    pub(super) executed: bool,
    pub(super) answered: Option<Answered>,
}

/// What was put on the wire, in a form that could be read as an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answered {
    pub(super) status: u16,
    pub(super) code: String,
}

impl Record {
    pub(super) fn to_json(&self, gateway: &str) -> Value {
        json!({
            "seq": self.seq,
            "time": self.time,
            "gateway": gateway,
            "method": self.method,
            "path": self.path,
            "headers": self.headers,
            "body_bytes": self.body_bytes,
            "body_sha256": self.body_sha256,
            "operation": self.operation,
            "reference": self.reference,
            "amount": self.amount,
            "signature_valid": self.signature_valid,
            "fault": self.fault,
            "executed": self.executed,
            "answered_status": self.answered.as_ref().map(|answered| answered.status),
            "answered_code": self.answered.as_ref().map(|answered| &answered.code),
        })
    }
}

/// The last requests of one gateway, oldest first.
#[derive(Debug, Default)]
pub(super) struct Journal(VecDeque<Record>);

impl Journal {
    pub(super) fn push(&mut self, record: Record) {
        if self.0.len() >= REQUESTS_MAX {
            self.0.pop_front();
        }
        self.0.push_back(record);
    }

    /// Notes what was answered to a request, if it is still remembered.
    pub(super) fn answered(&mut self, seq: u64, answered: Answered) {
        let index = self.0.partition_point(|record| record.seq < seq);
        if let Some(record) = self.0.get_mut(index).filter(|record| record.seq == seq) {
            record.answered = Some(answered);
        }
    }

    pub(super) fn since(&self, seq: u64) -> impl Iterator<Item = &Record> {
        self.0.iter().skip(self.0.partition_point(|record| record.seq <= seq))
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

/// Headers under their lower-case names, without the values nobody should find in a log.
pub(super) fn visible_headers(headers: &HeaderMap) -> BTreeMap<String, String> {
    let mut visible: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in headers {
        let name = name.as_str();
        let text = if SECRET_NAMES.iter().any(|secret| name.contains(secret)) {
            HIDDEN.to_owned()
        } else {
            cut(&String::from_utf8_lossy(value.as_bytes()))
        };
        visible
            .entry(name.to_owned())
            .and_modify(|known| *known = cut(&format!("{known}, {text}")))
            .or_insert(text);
    }
    visible
}

/// A text as long as the journal remembers it.
pub(super) fn cut(text: &str) -> String {
    text.chars().take(TEXT_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(seq: u64) -> Record {
        Record {
            seq,
            time: String::new(),
            method: "POST".to_owned(),
            path: "/".to_owned(),
            headers: BTreeMap::new(),
            body_bytes: 0,
            body_sha256: String::new(),
            operation: None,
            reference: String::new(),
            amount: String::new(),
            signature_valid: None,
            fault: None,
            executed: false,
            answered: None,
        }
    }

    #[test]
    fn the_oldest_requests_are_forgotten_and_answers_find_their_request() {
        let mut journal = Journal::default();
        let last = 2 * u64::try_from(REQUESTS_MAX).unwrap() + 20;
        (1..=last).step_by(2).for_each(|seq| journal.push(record(seq)));
        assert_eq!(journal.since(0).count(), REQUESTS_MAX);
        assert_eq!(
            journal.since(last - 5).map(|record| record.seq).collect::<Vec<_>>(),
            [last - 3, last - 1]
        );
        let answered = Answered { status: 200, code: "2005400".to_owned() };
        for seq in [1, 2, last - 2, last - 3] {
            journal.answered(seq, answered.clone());
        }
        let noted: Vec<u64> = journal
            .since(0)
            .filter(|record| record.answered.is_some())
            .map(|record| record.seq)
            .collect();
        assert_eq!(noted, [last - 3]);
    }

    #[test]
    fn secrets_are_hidden_and_long_values_cut() {
        let mut headers = HeaderMap::new();
        headers.insert("x-signature", "abc".parse().unwrap());
        headers.insert("authorization-customer", "Bearer x".parse().unwrap());
        headers.insert("clientsecret", "x".parse().unwrap());
        headers.append("x-twice", "1".parse().unwrap());
        headers.append("x-twice", "2".parse().unwrap());
        headers.insert("x-long", "y".repeat(2 * TEXT_CHARS_MAX).parse().unwrap());
        let visible = visible_headers(&headers);
        for name in ["x-signature", "authorization-customer", "clientsecret"] {
            assert_eq!(visible[name], HIDDEN);
        }
        assert_eq!(visible["x-twice"], "1, 2");
        assert_eq!(visible["x-long"].len(), TEXT_CHARS_MAX);
    }
}
