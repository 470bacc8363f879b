//! Reads `google.protobuf.Struct`, which is what arrives when the configuration is written as YAML
//! in Envoy's own file: Envoy hands a filter the raw protobuf bytes, not JSON.

use serde_json::{Map, Number, Value};

/// Nesting that is still read.
const DEPTH_MAX: u8 = 32;

/// The object that the bytes of a `Struct` hold; `None` when they are not one.
pub(super) fn decode_struct(bytes: &[u8]) -> Option<Value> {
    object(bytes, DEPTH_MAX)
}

fn object(bytes: &[u8], depth: u8) -> Option<Value> {
    let depth = depth.checked_sub(1)?;
    let mut map = Map::new();
    for field in Wire(bytes) {
        // Struct: map<string, Value> fields = 1
        let (1, Field::Bytes(entry)) = field? else {
            return None;
        };
        let (mut key, mut value) = (String::new(), Value::Null);
        for field in Wire(entry) {
            match field? {
                (1, Field::Bytes(name)) => key = std::str::from_utf8(name).ok()?.to_owned(),
                (2, Field::Bytes(inner)) => value = any(inner, depth)?,
                _ => return None,
            }
        }
        map.insert(key, value);
    }
    Some(Value::Object(map))
}

fn any(bytes: &[u8], depth: u8) -> Option<Value> {
    let mut value = Value::Null;
    for field in Wire(bytes) {
        value = match field? {
            (1, Field::Varint(_)) => Value::Null,
            (2, Field::Fixed(bits)) => number(f64::from_bits(bits))?,
            (3, Field::Bytes(text)) => Value::String(std::str::from_utf8(text).ok()?.to_owned()),
            (4, Field::Varint(flag)) => Value::Bool(flag != 0),
            (5, Field::Bytes(inner)) => object(inner, depth)?,
            (6, Field::Bytes(inner)) => list(inner, depth)?,
            _ => return None,
        };
    }
    Some(value)
}

fn list(bytes: &[u8], depth: u8) -> Option<Value> {
    let depth = depth.checked_sub(1)?;
    let items = Wire(bytes).map(|field| match field? {
        (1, Field::Bytes(inner)) => any(inner, depth),
        _ => None,
    });
    items.collect::<Option<Vec<_>>>().map(Value::Array)
}

/// A `Struct` knows floats only; a whole one was written as a whole number.
fn number(value: f64) -> Option<Value> {
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    #[expect(clippy::cast_possible_truncation, reason = "whole and within the exact range")]
    if value.fract() == 0.0 && value.abs() <= EXACT_MAX {
        return Some(Value::from(value as i64));
    }
    Number::from_f64(value).map(Value::Number)
}

enum Field<'b> {
    Varint(u64),
    Fixed(u64),
    Bytes(&'b [u8]),
}

/// The fields of a message, in wire order; an element is `None` where the bytes are malformed.
struct Wire<'b>(&'b [u8]);

impl<'b> Iterator for Wire<'b> {
    type Item = Option<(u64, Field<'b>)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            self.0 = &[];
        }
        Some(field)
    }
}

impl<'b> Wire<'b> {
    fn field(&mut self) -> Option<(u64, Field<'b>)> {
        let tag = self.varint()?;
        let field = match tag & 7 {
            0 => Field::Varint(self.varint()?),
            1 => {
                let (bits, rest) = self.0.split_first_chunk::<8>()?;
                self.0 = rest;
                Field::Fixed(u64::from_le_bytes(*bits))
            }
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                let (bytes, rest) = self.0.split_at_checked(length)?;
                self.0 = rest;
                Field::Bytes(bytes)
            }
            _ => return None,
        };
        Some((tag >> 3, field))
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }
}
