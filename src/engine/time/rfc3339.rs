//! Reads times as they stand in files and messages: RFC 3339.

use super::timestamp::Timestamp;

impl Timestamp {
    /// Reads an RFC 3339 time, with `Z` or an offset, or a date alone, which is taken as UTC. `None` for
    /// anything else, and for what is before 1970.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        millis(text.trim()).map(Self::from_millis)
    }
}

fn millis(text: &str) -> Option<u64> {
    let (date, rest) = text.split_at_checked(10)?;
    let (year, month, day) = (number(date, 0, 4)?, number(date, 5, 2)?, number(date, 8, 2)?);
    let dashes = date.as_bytes().get(4) == Some(&b'-') && date.as_bytes().get(7) == Some(&b'-');
    if !dashes || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let of_day = if rest.is_empty() { 0 } else { time(rest)? };
    u64::try_from(days(year, month, day) * 86_400_000 + of_day).ok()
}

/// `T20:49:27.550Z`, with a space in the place of the `T` too; less the offset, in milliseconds.
fn time(text: &str) -> Option<i64> {
    let text = text.strip_prefix(['T', 't', ' '])?;
    let (clock, rest) = text.split_at_checked(8)?;
    let (hour, minute, second) = (number(clock, 0, 2)?, number(clock, 3, 2)?, number(clock, 6, 2)?);
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(rest) => rest.split_at(rest.bytes().take_while(u8::is_ascii_digit).count()),
        None => ("", rest),
    };
    let millis: i64 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
    let offset = match rest {
        "Z" | "z" | "" => 0,
        _ => {
            let sign = if rest.starts_with('-') { -1 } else { 1 };
            let rest = rest.strip_prefix(['+', '-'])?;
            sign * (number(rest, 0, 2)? * 3600 + number(rest, 3, 2)? * 60)
        }
    };
    Some((hour * 3600 + minute * 60 + second - offset) * 1000 + millis)
}

fn number(text: &str, at: usize, digits: usize) -> Option<i64> {
    let digits = text.get(at..at + digits)?;
    if digits.bytes().all(|byte| byte.is_ascii_digit()) { digits.parse().ok() } else { None }
}

/// Days since the Unix epoch, after Howard Hinnant's `days_from_civil`.
const fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let from_march = if month > 2 { month - 3 } else { month + 9 };
    let of_year = (153 * from_march + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_their_usual_forms() {
        for (text, expected) in [
            ("1970-01-01T00:00:00.000Z", 0),
            ("2026-11-29T20:49:27.550Z", 1_795_985_367_550),
            ("2026-11-30T03:49:27+07:00", 1_795_985_367_000),
            ("2026-11-29 20:49:27", 1_795_985_367_000),
            ("2026-11-29T20:49:27.5Z", 1_795_985_367_500),
            ("2026-11-29T20:49:27.123456789Z", 1_795_985_367_123),
            ("2026-11-29", 1_795_910_400_000),
            ("2000-02-29T23:59:59Z", 951_868_799_000),
        ] {
            assert_eq!(millis(text), Some(expected), "{text}");
        }
        for bad in [
            "",
            "29/11/2026",
            "2026-13-01",
            "2026-11-29T25:00:00Z",
            "2026-11-29T20:49",
            "1969-12-31",
            "2026-11-29T20:49:27 WIB",
        ] {
            assert_eq!(millis(bad), None, "{bad}");
        }
    }
}
