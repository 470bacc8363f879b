//! Amounts of money as merchants write them.

/// An amount as SNAP writes it, `10000.00`: what is equal in value is one spelling, with at least two
/// decimals and no zeros that say nothing. `None` for what is no plain number.
pub(super) fn plain_amount(amount: &str) -> Option<String> {
    let (whole, cents) = amount.split_once('.').unwrap_or((amount, "0"));
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !is_number(whole) || !is_number(cents) {
        return None;
    }
    let whole = Some(whole.trim_start_matches('0')).filter(|whole| !whole.is_empty());
    let cents = cents.trim_end_matches('0');
    let zeros = "00".get(cents.len()..).unwrap_or_default();
    Some([whole.unwrap_or("0"), ".", cents, zeros].concat())
}

/// The amount in hundredths. Whatever it is not, the gateway refuses; here it only tells operators how
/// much is at stake.
pub(in crate::engine::exchange) fn hundredths(amount: &str) -> Option<u64> {
    let plain = plain_amount(amount)?;
    let (whole, cents) = plain.split_once('.').filter(|(_, cents)| cents.len() == 2)?;
    whole.parse::<u64>().ok()?.checked_mul(100)?.checked_add(cents.parse().ok()?)
}
