//! The time zone of the operators' page. It is a fixed offset, because a database of time zones would
//! make the module too large. Indonesia's zones have no summer time.

use std::fmt;

use super::display::Utc;
use super::timestamp::Timestamp;

/// A time zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    /// The text after each time: `WIB`, `UTC`, `+07:00`.
    sign: String,
    minutes: i32,
}

/// The known names, each with its sign and its minutes east of Greenwich.
const NAMES: [(&str, &str, i32); 5] = [
    ("Asia/Jakarta", "WIB", 420),
    ("Asia/Makassar", "WITA", 480),
    ("Asia/Jayapura", "WIT", 540),
    ("Asia/Singapore", "SGT", 480),
    ("UTC", "UTC", 0),
];

impl Zone {
    /// What the configuration accepts.
    pub const EXPECTED: &str = "\"Asia/Jakarta\", \"Asia/Makassar\", \"Asia/Jayapura\", \
        \"Asia/Singapore\", \"UTC\" or an offset such as \"+07:00\", at most 14 hours";

    /// The zone if none is configured.
    pub const DEFAULT: &str = "Asia/Jakarta";

    /// The zone with this name or this offset. `None` for any other text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let named = NAMES.iter().find(|(name, ..)| *name == text);
        let named = named.map(|(_, sign, minutes)| ((*sign).to_owned(), *minutes));
        let (sign, minutes) = named.or_else(|| Some((text.to_owned(), offset(text)?)))?;
        Some(Self { sign, minutes })
    }
}

impl Default for Zone {
    fn default() -> Self {
        Self::parse(Self::DEFAULT).unwrap_or_else(|| Self { sign: "UTC".to_owned(), minutes: 0 })
    }
}

/// Minutes east of Greenwich: `+07:00`, `-03:30`.
fn offset(text: &str) -> Option<i32> {
    let [sign, h1, h2, b':', m1, m2] = text.as_bytes() else {
        return None;
    };
    let digit = |byte: &u8| byte.is_ascii_digit().then(|| i32::from(byte - b'0'));
    let minute = digit(m1)? * 10 + digit(m2)?;
    let minutes = (digit(h1)? * 10 + digit(h2)?) * 60 + minute;
    let is_there = minute < 60 && minutes <= 14 * 60;
    match sign {
        b'+' if is_there => Some(minutes),
        b'-' if is_there => Some(-minutes),
        _ => None,
    }
}

/// A time for people, to the second: `2026-11-22 23:17:39 WIB`.
#[derive(Clone, Copy, Debug)]
pub struct Clock<'a>(pub Timestamp, pub &'a Zone);

impl fmt::Display for Clock<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(at, zone) = self;
        let shift = i64::from(zone.minutes) * 60_000;
        let text = Utc(Timestamp::from_millis(at.as_millis().saturating_add_signed(shift)));
        let text = text.to_string();
        let (day, rest) = text.split_once('T').unwrap_or((&text, ""));
        let second = rest.split('.').next().unwrap_or_default();
        write!(f, "{day} {second} {}", zone.sign)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Timestamp = Timestamp::from_millis(1_795_364_259_456);

    #[test]
    fn times_are_shown_in_the_chosen_zone() {
        for (zone, text) in [
            ("Asia/Jakarta", "2026-11-22 23:17:39 WIB"),
            ("Asia/Makassar", "2026-11-23 00:17:39 WITA"),
            ("Asia/Jayapura", "2026-11-23 01:17:39 WIT"),
            ("Asia/Singapore", "2026-11-23 00:17:39 SGT"),
            ("UTC", "2026-11-22 16:17:39 UTC"),
            ("+05:45", "2026-11-22 22:02:39 +05:45"),
            ("-03:00", "2026-11-22 13:17:39 -03:00"),
        ] {
            assert_eq!(Clock(AT, &Zone::parse(zone).unwrap()).to_string(), text);
        }
        assert_eq!(Clock(AT, &Zone::default()).to_string(), "2026-11-22 23:17:39 WIB");
        let west = Zone::parse("-14:00").unwrap();
        assert_eq!(
            Clock(Timestamp::default(), &west).to_string(),
            "1970-01-01 00:00:00 -14:00",
            "nothing is before that"
        );
    }

    #[test]
    fn what_is_no_zone_is_none() {
        for text in ["", "WIB", "asia/jakarta", "7", "+7:00", "+07:60", "+14:01", "+0a:00", "07:00"]
        {
            assert_eq!(Zone::parse(text), None, "{text}");
        }
        for (name, ..) in NAMES {
            assert!(Zone::EXPECTED.contains(name), "{name}");
        }
    }
}
