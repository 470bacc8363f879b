//! What a plain word of YAML is, by the rules of Envoy's own reader.

use super::{Kind, Text};

/// A word without quotes: a flag, a whole number of 32 bits, nothing, or text. Envoy hands on
/// decimal numbers and larger ones as text.
pub(super) fn plain(word: &str) -> Kind {
    if matches!(word, "" | "~" | "null" | "Null" | "NULL") {
        return Kind::Null;
    }
    if let Some(flag) = flag(word) {
        return Kind::Bool(flag);
    }
    match whole(word) {
        Some(number) if i32::try_from(number).is_ok() => Kind::Whole(number),
        Some(number) => text(&number.to_string()),
        None => text(word),
    }
}

fn text(word: &str) -> Kind {
    Kind::Text(Text { text: word.to_owned(), block: None })
}

fn flag(word: &str) -> Option<bool> {
    let lower = word.to_ascii_lowercase();
    let capital = |word: &str| {
        let mut letters = word.chars();
        letters.next().is_some_and(char::is_uppercase) && !letters.any(char::is_uppercase)
    };
    let is_even = word == lower || word == word.to_ascii_uppercase() || capital(word);
    match lower.as_str() {
        "y" | "yes" | "true" | "on" if is_even => Some(true),
        "n" | "no" | "false" | "off" if is_even => Some(false),
        _ => None,
    }
}

/// As in C: `0x10` is 16, and so is `020`.
fn whole(word: &str) -> Option<i64> {
    let (sign, digits) = match word.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, word.strip_prefix('+').unwrap_or(word)),
    };
    if !digits.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    let number =
        if let Some(digits) = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
            i64::from_str_radix(digits, 16)
        } else if digits.len() > 1 && digits.starts_with('0') {
            i64::from_str_radix(digits, 8)
        } else {
            digits.parse()
        };
    number.ok().and_then(|number| number.checked_mul(sign))
}
