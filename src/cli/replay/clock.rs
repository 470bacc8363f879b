//! Times as they stand in files: RFC 3339, or milliseconds since the Unix epoch.

use crate::engine::Timestamp;

/// Reads RFC 3339 with any offset, after 1970; fractions beyond milliseconds are cut off.
pub(super) fn parse(text: &str) -> Option<Timestamp> {
    let bytes = text.as_bytes();
    let number = |from: usize, to: usize| -> Option<u64> {
        let digits = bytes.get(from..to)?;
        digits.iter().try_fold(0, |sum: u64, byte| {
            byte.is_ascii_digit().then(|| sum * 10 + u64::from(byte - b'0'))
        })
    };
    let is = |at: usize, wanted: &[u8]| bytes.get(at).is_some_and(|byte| wanted.contains(byte));
    let marks = is(4, b"-") && is(7, b"-") && is(10, b"Tt ") && is(13, b":") && is(16, b":");
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let in_range = year >= 1970
        && (1..=12).contains(&month)
        && (1..=days_of(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        // A leap second is the first one of the next minute.
        && second <= 60;
    if !marks || !in_range {
        return None;
    }
    let rest = bytes.get(19..)?;
    let (fraction, zone) = match rest.split_first() {
        Some((b'.', rest)) => {
            let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            let millis = (0..3).fold(0, |sum, at| {
                let digit = rest.get(at).filter(|_| at < digits).map_or(0, |byte| byte - b'0');
                sum * 10 + u64::from(digit)
            });
            (Some(millis).filter(|_| digits > 0)?, rest.get(digits..)?)
        }
        _ => (0, rest),
    };
    let seconds = (days(year, month, day) * 24 + hour) * 3600 + minute * 60 + second;
    let local = seconds * 1000 + fraction;
    let utc = match zone {
        b"Z" | b"z" => local,
        [sign @ (b'+' | b'-'), rest @ ..] if rest.len() == 5 && rest.get(2) == Some(&b':') => {
            let at = text.len() - 5;
            let (hours, minutes) = (number(at, at + 2)?, number(at + 3, at + 5)?);
            let offset = (hours < 24 && minutes < 60).then_some((hours * 60 + minutes) * 60_000)?;
            if *sign == b'+' { local.checked_sub(offset)? } else { local + offset }
        }
        _ => return None,
    };
    Some(Timestamp::from_millis(utc))
}

/// Days since the epoch, after Howard Hinnant's `days_from_civil`.
const fn days(year: u64, month: u64, day: u64) -> u64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year / 400, year % 400);
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

const fn days_of(year: u64, month: u64) -> u64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => {
            29
        }
        2 => 28,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use crate::engine::Utc;

    use super::*;

    #[test]
    fn times_are_read_and_written() {
        for (text, millis) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T06:59:59+07:00", 951_782_399_000),
            ("2026-11-22T23:17:39.4569+07:00", 1_795_364_259_456),
            ("2026-11-22t11:17:39.4-05:00", 1_795_364_259_400),
        ] {
            let time = parse(text).unwrap();
            assert_eq!(time.as_millis(), millis, "{text}");
            assert_eq!(parse(&Utc(time).to_string()), Some(time), "{text}");
        }
        assert_eq!(
            Utc(parse("2000-02-29T23:59:60Z").unwrap()).to_string(),
            "2000-03-01T00:00:00.000Z"
        );
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "2026-11-22",
            "2026-11-22T23:17:39",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "1969-12-31T23:59:59Z",
            "1970-01-01T00:00:00+07:00",
            "2026-11-22T24:00:00Z",
            "2026-11-22T23:17:39.Z",
            "2026-11-22T23:17:39+7:00",
            "2026-11-22T23:17:39Zz",
            "+026-11-22T23:17:39Z",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
