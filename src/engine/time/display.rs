//! Times and lengths of time as text.

use std::fmt;

use super::timestamp::{Millis, Timestamp};

const DAY_MS: u64 = 86_400_000;

/// The last millisecond of the year 9999, the last with four digits.
const LAST_MS: u64 = 253_402_300_799_999;

/// A time for people and machines: RFC 3339, UTC, with milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Utc(pub Timestamp);

impl fmt::Display for Utc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::with_capacity(24);
        self.write_to(&mut text);
        f.write_str(&text)
    }
}

impl Utc {
    /// Adds it to a text, without the machinery that formats numbers of every kind: each entry of the
    /// audit trail has one. The date follows Howard Hinnant's `civil_from_days`.
    pub(in crate::engine) fn write_to(self, text: &mut String) {
        let millis = self.0.as_millis().min(LAST_MS);
        let (days, rest) = (millis / DAY_MS, millis % DAY_MS);
        let shifted = days + 719_468;
        let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        let year = year_of_era + era * 400 + u64::from(month <= 2);
        for (value, digits, after) in [
            (year, 4, '-'),
            (month, 2, '-'),
            (day, 2, 'T'),
            (rest / 3_600_000, 2, ':'),
            (rest / 60_000 % 60, 2, ':'),
            (rest / 1000 % 60, 2, '.'),
            (rest % 1000, 3, 'Z'),
        ] {
            let mut rest = value;
            let mut written = [b'0'; 4];
            for digit in written.iter_mut().rev() {
                *digit = b'0' + u8::try_from(rest % 10).unwrap_or_default();
                rest /= 10;
            }
            let written = std::str::from_utf8(&written).unwrap_or_default();
            text.push_str(written.get(4 - digits..).unwrap_or_default());
            text.push(after);
        }
    }
}

/// A length of time for people: `850 ms`, `12.3 s`, `4 min 05 s`, `2 h 07 min`, `3 d 04 h`.
#[derive(Clone, Copy, Debug)]
pub struct Length(pub Millis);

impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.get();
        let seconds = millis / 1000;
        let (minutes, hours) = (seconds / 60, seconds / 3600);
        match millis {
            0..1000 => write!(f, "{millis} ms"),
            1000..60_000 => write!(f, "{seconds}.{} s", millis / 100 % 10),
            60_000..3_600_000 => write!(f, "{minutes} min {:02} s", seconds % 60),
            3_600_000..DAY_MS => write!(f, "{hours} h {:02} min", minutes % 60),
            _ => write!(f, "{} d {:02} h", hours / 24, hours % 24),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_for_people_and_machines() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_001, "2000-02-28T23:59:59.001Z"),
            (951_868_799_999, "2000-02-29T23:59:59.999Z"),
            (1_795_364_259_456, "2026-11-22T16:17:39.456Z"),
            (LAST_MS, "9999-12-31T23:59:59.999Z"),
            (u64::MAX, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(Utc(Timestamp::from_millis(millis)).to_string(), text);
        }
    }

    #[test]
    fn lengths_are_written_for_people() {
        let lengths = [850, 12_340, 245_000, 7_620_000, 273_600_000, u64::MAX];
        let found = lengths.map(|millis| Length(Millis::new(millis)).to_string());
        let expected = ["850 ms", "12.3 s", "4 min 05 s", "2 h 07 min", "3 d 04 h"];
        assert_eq!(found[..5], expected);
    }
}
