//! The filter's configuration: JSON, or the protobuf that Envoy makes of its own YAML.

use dana_failover::engine::Timestamp;
use dana_failover::engine::{Config, Policy};
use dana_failover::engine::{Layout, Placement, Seed};
use serde_json::Value;

/// # Panics
/// Where a mistake has no words, or the two forms of one configuration are not read alike.
pub fn run(data: &[u8]) {
    let parsed = Config::parse(data);
    match &parsed {
        Ok(config) => joins(config),
        Err(errors) => {
            assert!(!errors.is_empty() && errors.iter().all(|error| !error.expected.is_empty()));
        }
    }
    let Ok(value) = serde_json::from_slice::<Value>(data) else {
        return;
    };
    if value.is_object() && fits(&value, 16) {
        let (mut bytes, json) = (Vec::new(), value.to_string());
        write_struct(&value, &mut bytes);
        let forms = [Config::parse(json.as_bytes()), Config::parse(&bytes)];
        assert_eq!(format!("{:?}", forms[0]), format!("{:?}", forms[1]), "{json}");
    }
}

/// A configuration that was accepted works on an empty store, and again on what it made of it.
fn joins(config: &Config) {
    let mut layout = Layout::new(Placement::new(config.store.claims_max, Seed::default()));
    if Policy::join(config.clone(), &mut layout, Timestamp::default()).is_ok() {
        let mut stored = Layout::decode(&layout.encode()).expect("it reads back");
        assert_eq!(stored, layout);
        let (_, grew) = Policy::join(config.clone(), &mut stored, Timestamp::default())
            .expect("it fits itself");
        assert!(!grew, "nothing is new the second time");
    }
}

/// Whether both forms can say it: whole numbers that a float holds, nested no deeper than this.
fn fits(value: &Value, depth: u8) -> bool {
    let Some(depth) = depth.checked_sub(1) else {
        return false;
    };
    match value {
        Value::Number(number) => number.as_i64().is_some_and(|whole| whole.abs() < 1 << 53),
        Value::Array(values) => values.iter().all(|value| fits(value, depth)),
        Value::Object(members) => members.values().all(|value| fits(value, depth)),
        Value::Null | Value::Bool(_) | Value::String(_) => true,
    }
}

fn write_struct(value: &Value, out: &mut Vec<u8>) {
    for (name, value) in value.as_object().into_iter().flatten() {
        let mut entry = Vec::new();
        field(1, name.as_bytes(), &mut entry);
        let mut inner = Vec::new();
        write_value(value, &mut inner);
        field(2, &inner, &mut entry);
        field(1, &entry, out);
    }
}

fn write_value(value: &Value, out: &mut Vec<u8>) {
    let mut inner = Vec::new();
    match value {
        Value::Null => out.extend([1 << 3, 0]),
        Value::Bool(flag) => out.extend([4 << 3, u8::from(*flag)]),
        Value::Number(number) => {
            out.push(2 << 3 | 1);
            out.extend(number.as_f64().unwrap_or(0.0).to_le_bytes());
        }
        Value::String(text) => field(3, text.as_bytes(), out),
        Value::Object(_) => {
            write_struct(value, &mut inner);
            field(5, &inner, out);
        }
        Value::Array(values) => {
            for value in values {
                let mut item = Vec::new();
                write_value(value, &mut item);
                field(1, &item, &mut inner);
            }
            field(6, &inner, out);
        }
    }
}

fn field(number: u8, bytes: &[u8], out: &mut Vec<u8>) {
    out.push(number << 3 | 2);
    let mut length = bytes.len();
    while length > 0x7f {
        out.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend(bytes);
}
