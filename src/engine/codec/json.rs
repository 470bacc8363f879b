//! Reads a few members out of a JSON document without building the rest.
//!
//! What decides about money must be read the same way by us and by the gateway. A member that
//! stands twice is read differently by different parsers, so it is refused, and so is one whose name
//! lenient parsers take for a member that matters (`PartnerReferenceNo`, `partner_reference_no`).
//! Escapes are undone, so `"\u00e9"` and `"é"` are one value; white space and member order do not
//! matter.

use std::borrow::Cow;
use std::fmt;

use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::{Map, Number, Value};

/// A path to a member of a JSON document: RFC 6901, members of objects only.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pointer(String);

impl Pointer {
    /// Parses `/member/member`; `None` when it does not begin with a slash or names nothing.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let members = text.strip_prefix('/')?;
        (!members.split('/').any(str::is_empty)).then(|| Self(text.to_owned()))
    }

    fn members(&self) -> impl Iterator<Item = String> + '_ {
        self.0.split('/').skip(1).map(|member| member.replace("~1", "/").replace("~0", "~"))
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A value without members.
#[derive(Clone, Debug, PartialEq)]
pub enum Scalar<'a> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, in one spelling whichever was sent.
    Number(String),
    /// A string, escapes undone.
    Text(Cow<'a, str>),
    /// An object or an array, which no identity or amount may be.
    Composite,
}

impl Scalar<'_> {
    /// The text of a string; nothing for any other value.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }
}

/// The members to look for, as a tree: made once per operation, used for every body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extractor {
    root: Branch,
    slots: usize,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Branch {
    slot: Option<usize>,
    /// In the order of their names. They are few, so they are looked through.
    members: Vec<(String, Self)>,
}

impl Branch {
    fn member(&self, name: &str) -> Option<&Self> {
        self.members.iter().find(|(known, _)| known == name).map(|(_, member)| member)
    }

    fn add(&mut self, name: &str) -> Option<&mut Self> {
        let place = match self.members.binary_search_by(|(known, _)| known.as_str().cmp(name)) {
            Ok(place) => place,
            Err(place) => {
                self.members.insert(place, (name.to_owned(), Self::default()));
                place
            }
        };
        self.members.get_mut(place).map(|(_, member)| member)
    }
}

impl Extractor {
    /// An extractor of `pointers`; values come back in this order.
    #[must_use]
    pub fn new<'p>(pointers: impl IntoIterator<Item = &'p Pointer>) -> Self {
        let mut extractor = Self::default();
        for pointer in pointers {
            extractor.add(pointer);
        }
        extractor
    }

    /// Adds a pointer and says where its value will stand. The same pointer has one place.
    pub fn add(&mut self, pointer: &Pointer) -> usize {
        let branch = pointer.members().try_fold(&mut self.root, |branch, name| branch.add(&name));
        let slot = branch.map_or(self.slots, |branch| *branch.slot.get_or_insert(self.slots));
        self.slots = self.slots.max(slot + 1);
        slot
    }

    /// The values found in `body`, by place; absent members are `None`.
    /// Members that nobody asks for are passed over: their strings may be in any encoding.
    ///
    /// # Errors
    /// When `body` is not one JSON document, or a member on the way to a value stands twice or
    /// beside one that may be taken for it.
    pub fn extract<'a>(
        &self,
        body: &'a [u8],
    ) -> Result<Vec<Option<Scalar<'a>>>, serde_json::Error> {
        let mut found = vec![None; self.slots];
        let mut reader = serde_json::Deserializer::from_slice(body);
        Cursor { branch: &self.root, found: &mut found }.deserialize(&mut reader)?;
        reader.end()?;
        Ok(found)
    }
}

/// All members of an object, in the order of their names.
///
/// # Errors
/// When `body` is not one JSON object, or a member stands twice.
pub(in crate::engine) fn members(body: &[u8]) -> Result<Map<String, Value>, serde_json::Error> {
    let mut reader = serde_json::Deserializer::from_slice(body);
    let members = reader.deserialize_map(Members)?;
    reader.end()?;
    Ok(members)
}

struct Members;

impl<'a> Visitor<'a> for Members {
    type Value = Map<String, Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'a>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        let mut members = Map::new();
        while let Some((name, value)) = map.next_entry::<String, Value>()? {
            if members.contains_key(&name) {
                return Err(M::Error::custom("a member stands twice"));
            }
            members.insert(name, value);
        }
        Ok(members)
    }
}

struct Cursor<'b, 'f, 'a> {
    branch: &'b Branch,
    found: &'f mut [Option<Scalar<'a>>],
}

impl<'a> Cursor<'_, '_, 'a> {
    fn keep<E>(self, scalar: Scalar<'a>) -> Result<(), E> {
        if let Some(place) = self.branch.slot.and_then(|slot| self.found.get_mut(slot)) {
            *place = Some(scalar);
        }
        Ok(())
    }
}

impl<'a> DeserializeSeed<'a> for Cursor<'_, '_, 'a> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'a> Visitor<'a> for Cursor<'_, '_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON document")
    }

    fn visit_map<M: MapAccess<'a>>(self, mut map: M) -> Result<(), M::Error> {
        let Cursor { branch, found } = self;
        let mut seen = Vec::new();
        while let Some(name) = map.next_key_seed(MemberName)? {
            let Some(child) = branch.member(&name) else {
                let mut known = branch.members.iter().map(|(known, _)| known);
                if let Some(meant) = known.find(|meant| reads_like(meant, &name)) {
                    return Err(M::Error::custom(format_args!(
                        "a member may be taken for \"{meant}\", which is spelled otherwise"
                    )));
                }
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            if seen.contains(&name) {
                return Err(M::Error::custom(format_args!("member \"{name}\" stands twice")));
            }
            seen.push(name);
            map.next_value_seed(Cursor { branch: child, found: &mut *found })?;
        }
        Cursor { branch, found }.keep(Scalar::Composite)
    }

    fn visit_seq<S: SeqAccess<'a>>(self, mut seq: S) -> Result<(), S::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        self.keep(Scalar::Composite)
    }

    fn visit_borrowed_str<E>(self, text: &'a str) -> Result<(), E> {
        self.keep(Scalar::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.keep(Scalar::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.keep(Scalar::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.keep(Scalar::Number(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.keep(Scalar::Number(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        self.keep(Scalar::Number(plain(value)))
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.keep(Scalar::Null)
    }
}

/// A number with all its digits and no exponent, as `f64`'s own `Display` writes it: fingerprints are made of
/// it. That would be 20 kB of the module beside what `serde_json` has to write floats, so the digits are
/// taken from there. Of two texts that are as near Rust takes the larger one, and `serde_json` the even one.
fn plain(value: f64) -> String {
    let Some(short) = Number::from_f64(value).map(|number| number.to_string()) else {
        return String::new();
    };
    let (sign, size) = short.strip_prefix('-').map_or(("", short.as_str()), |size| ("-", size));
    let (mantissa, exponent) = size.split_once('e').unwrap_or((size, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent = exponent.parse::<isize>().unwrap_or(0);
    let fraction = fraction.trim_end_matches('0');
    let mut digits = [whole, fraction].concat();
    // Where the point stands among the digits, or how far before or behind them.
    let point = exponent.saturating_add_unsigned(whole.len());
    let places = isize::try_from(digits.len()).unwrap_or(isize::MAX).saturating_sub(point);
    // Exactly between two texts, which is so where the value in whole has one digit more. The two end with 2
    // and 3, or with 7 and 8, and only of the first two the even one is the smaller.
    if binary_places(value) == places.saturating_add(1) && digits.ends_with('2') {
        digits.pop();
        digits.push('3');
    }
    let behind = usize::try_from(point).unwrap_or(0);
    match digits.split_at_checked(behind) {
        None => [sign, &digits, &"0".repeat(behind - digits.len())].concat(),
        Some((whole, "")) => [sign, whole].concat(),
        Some(("", fraction)) => [sign, "0.", &"0".repeat(point.unsigned_abs()), fraction].concat(),
        Some((whole, fraction)) => [sign, whole, ".", fraction].concat(),
    }
}

/// How many binary digits a number has behind its point, as many as decimal ones if all are written.
/// Negative where it has none.
fn binary_places(value: f64) -> isize {
    const MANTISSA_BITS: u32 = 52;
    let bits = value.to_bits();
    let exponent = (bits >> MANTISSA_BITS & 0x7ff) as isize;
    let mantissa = bits & ((1 << MANTISSA_BITS) - 1) | 1 << MANTISSA_BITS;
    1075 - exponent - mantissa.trailing_zeros() as isize
}

/// Whether parsers that care less about names take one for the other: .NET's, Go's and, so
/// configured, Jackson's ignore case, and mappers of naming conventions drop underscores. Go folds
/// the two letters beyond ASCII that have a plain one as their other case.
fn reads_like(one: &str, other: &str) -> bool {
    fn folded(name: &str) -> impl Iterator<Item = char> + '_ {
        let letters = name.chars().filter(|letter| !matches!(letter, '_' | '-' | ' '));
        letters.map(|letter| match letter {
            '\u{17f}' => 's',
            '\u{212a}' => 'k',
            letter => letter.to_ascii_lowercase(),
        })
    }
    // Most names begin otherwise, and are looked at no further. Go's two letters begin with no ASCII.
    let begins = |name: &str| name.bytes().next().filter(u8::is_ascii_alphanumeric);
    if let (Some(first), Some(other_first)) = (begins(one), begins(other))
        && !first.eq_ignore_ascii_case(&other_first)
    {
        return false;
    }
    folded(one).eq(folded(other))
}

/// Borrows a member's name where it has no escapes.
struct MemberName;

impl<'a> DeserializeSeed<'a> for MemberName {
    type Value = Cow<'a, str>;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'a> Visitor<'a> for MemberName {
    type Value = Cow<'a, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member name")
    }

    fn visit_borrowed_str<E>(self, name: &'a str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(name))
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100_000))]

        #[test]
        fn a_float_is_written_as_rust_writes_it(bits: u64) {
            let value = f64::from_bits(bits);
            if value.is_finite() {
                prop_assert_eq!(plain(value), value.to_string());
            }
        }

        #[test]
        fn so_is_one_of_a_size_where_two_texts_may_be_as_near(bits: u64, exponent in -60_i32..70) {
            let value = f64::from_bits(bits >> 12 | 1023 << 52) * 2_f64.powi(exponent);
            prop_assert_eq!(plain(value), value.to_string());
        }

        #[test]
        fn so_is_one_with_few_binary_places(whole in 0_u64..1 << 52, places in 0_i32..20) {
            let value = whole as f64 / 2_f64.powi(places);
            prop_assert_eq!(plain(value), value.to_string());
        }
    }

    #[test]
    fn floats_that_people_write_are_written_as_rust_writes_them() {
        let wholes = (0..400_u32).flat_map(|whole| (0..100).map(move |cents| (whole, cents)));
        let written = wholes.map(|(whole, cents)| f64::from(whole * 100 + cents) / 100.0);
        let powers = (-320..309).map(|power| format!("1e{power}").parse::<f64>().unwrap());
        let ends = [0.0, -0.0, f64::MAX, f64::MIN_POSITIVE, f64::EPSILON];
        for value in written.chain(powers).chain(ends).flat_map(|value| [value, -value]) {
            assert_eq!(plain(value), value.to_string());
        }
    }

    fn extract(pointers: &[&str], body: &str) -> Result<Vec<Option<String>>, String> {
        let pointers: Vec<Pointer> = pointers.iter().map(|p| Pointer::parse(p).unwrap()).collect();
        let found =
            Extractor::new(&pointers).extract(body.as_bytes()).map_err(|e| e.to_string())?;
        Ok(found.iter().map(|scalar| scalar.as_ref().map(|scalar| format!("{scalar:?}"))).collect())
    }

    fn check(pointer: &str, body: &str, expected: Option<&str>) {
        let found = extract(&[pointer], body).unwrap();
        assert_eq!(found[0].as_deref(), expected, "{pointer} in {body}");
    }

    #[test]
    fn finds_values_at_any_depth() {
        check("/a", r#"{"a":"x"}"#, Some(r#"Text("x")"#));
        check("/a/b", r#"{"z":[1,{"b":2}],"a":{"c":{},"b":"x"}}"#, Some(r#"Text("x")"#));
        check("/a", r#"{"a":{"b":1}}"#, Some("Composite"));
        check("/a", r#"{"a":[1]}"#, Some("Composite"));
        check("/a", r#"{"a":null}"#, Some("Null"));
        check("/a", r#"{"a":-5}"#, Some(r#"Number("-5")"#));
        check("/a", r#"{"a":1.50}"#, Some(r#"Number("1.5")"#));
        check("/a/b", r#"{"a":"x"}"#, None);
        check("/a", r#"["a"]"#, None);
        check("/a~1b", r#"{"a/b":true}"#, Some("Bool(true)"));
    }

    #[test]
    fn escapes_are_one_value_with_what_they_stand_for() {
        check("/a", r#"{"a":"caf\u00e9"}"#, Some(r#"Text("café")"#));
        check("/a", r#"{"a":"café"}"#, Some(r#"Text("café")"#));
        check("/a", r#"{"\u0061":"x"}"#, Some(r#"Text("x")"#));
    }

    #[test]
    fn a_member_that_stands_twice_is_refused_where_it_matters() {
        for body in [r#"{"a":1,"a":2}"#, r#"{"a":1,"\u0061":1}"#, r#"{"a":{"b":1},"a":{"b":1}}"#] {
            assert!(extract(&["/a/b"], body).unwrap_err().contains("stands twice"), "{body}");
        }
        check("/a", r#"{"z":1,"z":2,"a":"x"}"#, Some(r#"Text("x")"#));
    }

    #[test]
    fn a_member_that_lenient_parsers_take_for_another_is_refused_where_it_matters() {
        for twin in ["BankKey", "bank_key", "bankkey", "bank-Key", "ban\\u212akey", "bankKey_"] {
            for body in [
                format!(r#"{{"bankKey":"x","{twin}":"y"}}"#),
                format!(r#"{{"{twin}":"y","bankKey":"x"}}"#),
                format!(r#"{{"{twin}":"y"}}"#),
                format!(r#"{{"bankKey":{{"{twin}":"y"}},"Bankkey":1}}"#),
            ] {
                let error = extract(&["/bankKey"], &body).unwrap_err();
                assert!(error.contains("taken for \"bankKey\""), "{body}: {error}");
            }
        }
        check("/bankKey", r#"{"bankKeys":1,"bankKe":2,"bankKey":"x"}"#, Some(r#"Text("x")"#));
        check("/bankKey", r#"{"z":{"BankKey":1},"bankKey":"x"}"#, Some(r#"Text("x")"#));
        // Both spellings are asked for: each is itself.
        let both = extract(&["/a_b", "/ab"], r#"{"ab":1,"a_b":2}"#).unwrap();
        assert_eq!(both, [2, 1].map(|number| Some(format!(r#"Number("{number}")"#))));
    }

    #[test]
    fn what_is_not_one_document_is_refused() {
        let deep = "[".repeat(100_000);
        for body in ["", "{", r#"{"a":1} x"#, r#"{"a":1}{}"#, "\u{feff}{}", r#"{"a":1e999}"#, &deep]
        {
            assert!(extract(&["/a"], body).is_err(), "{}", &body[..body.len().min(20)]);
        }
        assert!(
            Extractor::new(&[Pointer::parse("/a").unwrap()]).extract(b"{\"a\":\"\xff\"}").is_err()
        );
    }

    #[test]
    fn all_members_of_an_object_and_of_nothing_else() {
        let members = members(br#" {"b": [1], "a": "\u0041"} "#).unwrap();
        assert_eq!(Value::Object(members).to_string(), r#"{"a":"A","b":[1]}"#);
        let deep = format!("{{\"a\":{}", "[".repeat(100_000));
        let twice = r#"{"a":1,"\u0061":2}"#;
        for body in ["", "[]", "null", "{} x", "{\"a\":1", "{a:1}", "\u{feff}{}", twice, &deep] {
            assert!(super::members(body.as_bytes()).is_err(), "{}", &body[..body.len().min(20)]);
        }
    }

    #[test]
    fn pointers_name_members() {
        for bad in ["", "a", "/", "/a//b", "/a/"] {
            assert_eq!(Pointer::parse(bad), None, "{bad}");
        }
    }
}
