//! A configuration that Envoy hands over as a protobuf struct.

use super::*;
use crate::engine::config::protobuf;
use proptest::prelude::*;

/// A protobuf message by hand: fields with their numbers.
mod wire {
    use serde_json::Value;

    fn varint(mut number: u64, bytes: &mut Vec<u8>) {
        while number >= 0x80 {
            bytes.push(u8::try_from(number & 0x7f).unwrap() | 0x80);
            number >>= 7;
        }
        bytes.push(u8::try_from(number).unwrap());
    }

    pub(super) fn field(number: u64, inner: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        varint(number << 3 | 2, &mut bytes);
        varint(inner.len() as u64, &mut bytes);
        bytes.extend(inner);
        bytes
    }

    pub(super) fn value(value: &Value) -> Vec<u8> {
        match value {
            Value::Null => vec![0x08, 0],
            Value::Number(number) => {
                let bits = number.as_f64().unwrap().to_bits().to_le_bytes();
                [&[0x11][..], &bits].concat()
            }
            Value::String(text) => field(3, text.as_bytes()),
            Value::Bool(flag) => vec![0x20, u8::from(*flag)],
            Value::Object(_) => field(5, &object(value)),
            Value::Array(items) => {
                let items = items.iter().flat_map(|item| field(1, &self::value(item)));
                field(6, &items.collect::<Vec<u8>>())
            }
        }
    }

    pub(super) fn object(object: &Value) -> Vec<u8> {
        let entries = object.as_object().unwrap().iter().flat_map(|(name, member)| {
            field(1, &[field(1, name.as_bytes()), field(2, &value(member))].concat())
        });
        entries.collect()
    }
}

#[test]
fn a_struct_is_read_as_the_same_json_is() {
    let value = with(&json!({
        "breaker": {"open_ms": 20_000, "open_jitter_pct": 0},
        "testing": {"unsafe_timings": true},
        "composites": [{"members": ["primary", "secondary"], "cluster": "both"}],
        "unmatched": "pass",
    }));
    let config = Config::parse(&wire::object(&value)).unwrap();
    assert_eq!(format!("{config:?}"), format!("{:?}", parse(&value)));
    assert_eq!((config.breaker.open.get(), config.breaker.open_jitter_pct), (20_000, 0));
    // Mistakes are told with the same words.
    let value = with(&json!({"breaker": {"open_ms": 1.5}, "unmatched": null}));
    let told = mistakes(&wire::object(&value));
    assert_eq!(told, mistakes(value.to_string().as_bytes()));
    assert_eq!(told.len(), 2);
}

#[test]
fn a_struct_written_by_hand_is_read_byte_by_byte() {
    // {"a": 1.0, "b": [true, null], "c": {"d": "x"}}
    let bytes = [
        &[0x0a, 14, 0x0a, 1, b'a', 0x12, 9, 0x11, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f][..],
        &[0x0a, 15, 0x0a, 1, b'b', 0x12, 10, 0x32, 8, 0x0a, 2, 0x20, 1, 0x0a, 2, 0x08, 0],
        &[0x0a, 17, 0x0a, 1, b'c', 0x12, 12, 0x2a, 10, 0x0a, 8],
        &[0x0a, 1, b'd', 0x12, 3, 0x1a, 1, b'x'],
    ]
    .concat();
    let expected = json!({"a": 1, "b": [true, null], "c": {"d": "x"}});
    assert_eq!(protobuf::decode_struct(&bytes), Some(expected));
    for cut in 1..bytes.len() {
        let whole = [16, 33].contains(&cut);
        assert_eq!(protobuf::decode_struct(&bytes[..cut]).is_some(), whole, "{cut}");
    }
}

#[test]
fn what_is_no_struct_is_none() {
    for bytes in [
        &[0x08, 1][..],
        &[0x12, 0],
        &[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
        &[0x0a, 2, 0x0a, 5],
        &[0x0a, 3, 0x0a, 1, 0xff],
        &[0x0a, 5, 0x12, 3, 0x1a, 1, 0xff],
        &[0x0a, 11, 0x12, 9, 0x11, 0, 0, 0, 0, 0, 0, 0xf8, 0x7f],
        &[0x0a, 11, 0x12, 9, 0x11, 0, 0, 0, 0, 0, 0, 0xf0, 0x7f],
        &[0x0b],
        &[0x80],
    ] {
        assert_eq!(protobuf::decode_struct(bytes), None, "{bytes:?}");
        assert_eq!(mistakes(bytes).len(), 1);
    }
}

#[test]
fn deep_nesting_is_refused_and_never_too_deep_for_the_stack() {
    let nested = |depth: usize| {
        let mut value = vec![0x08, 0];
        for _ in 0..depth {
            value = wire::field(6, &wire::field(1, &value));
        }
        wire::field(1, &[wire::field(1, b"a"), wire::field(2, &value)].concat())
    };
    assert!(protobuf::decode_struct(&nested(31)).is_some());
    assert_eq!(protobuf::decode_struct(&nested(32)), None);
    assert_eq!(protobuf::decode_struct(&nested(10_000)), None);
    assert_eq!(mistakes("[".repeat(100_000).as_bytes()).len(), 1);
}

proptest! {
    #[test]
    fn noise_is_told_and_never_panics(noise in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Config::parse(&noise).is_err());
        let _ = protobuf::decode_struct(&noise);
    }

    #[test]
    fn a_spoilt_struct_never_panics(at in 0usize..2000, byte: u8) {
        let mut bytes = wire::object(&with(&json!({"breaker": {"open_ms": 20_000}})));
        let at = at % bytes.len();
        bytes[at] = byte;
        let _ = Config::parse(&bytes);
    }

    #[test]
    fn numbers_of_a_struct_are_whole_where_they_were_written_whole(number in -(1i64 << 53)..(1i64 << 53)) {
        let bytes = wire::object(&json!({ "n": number }));
        prop_assert_eq!(protobuf::decode_struct(&bytes), Some(json!({ "n": number })));
    }
}
