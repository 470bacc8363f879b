//! Amounts, exactly: no float ever holds one.

/// An amount in hundredths, as merchants, gateways and the audit trail write it: `10000.00`, `10000`,
/// `-5.5`. None for what is no plain number, or has parts of a hundredth.
pub(crate) fn parse(text: &str) -> Option<i64> {
    let text = text.trim();
    let (sign, text) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let (whole, cents) = text.split_once('.').unwrap_or((text, ""));
    let is_number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !is_number(whole) || !is_number(cents) {
        return None;
    }
    let cents = cents.trim_end_matches('0');
    let cents: i64 = match cents.len() {
        0 => 0,
        1 => cents.parse::<i64>().ok()? * 10,
        2 => cents.parse().ok()?,
        _ => return None,
    };
    whole.parse::<i64>().ok()?.checked_mul(100)?.checked_add(cents)?.checked_mul(sign)
}

/// The same as text.
pub(crate) fn text(minor: i128) -> String {
    let (sign, minor) = if minor < 0 { ("-", -minor) } else { ("", minor) };
    format!("{sign}{}.{:02}", minor / 100, minor % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_exact_or_none() {
        for (written, minor) in [
            ("10000.00", 1_000_000),
            ("10000", 1_000_000),
            ("0.01", 1),
            (" 5.5 ", 550),
            ("-5.50", -550),
            ("7.1000", 710),
            ("92233720368547758.07", i64::MAX),
        ] {
            assert_eq!(parse(written), Some(minor), "{written}");
        }
        for bad in
            ["", ".", ".5", "1.001", "1,000.00", "1e3", "+1", "--1", "٣", "92233720368547758.08"]
        {
            assert_eq!(parse(bad), None, "{bad}");
        }
        assert_eq!(
            (text(1_000_000), text(-5), text(0)),
            ("10000.00".into(), "-0.05".into(), "0.00".into())
        );
    }
}
