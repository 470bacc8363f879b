//! Amounts as SNAP writes them.

/// An amount as the request wrote it: two decimals as text, and its currency.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Money {
    pub(super) value: String,
    pub(super) currency: String,
}

impl Money {
    /// The amount in hundredths; `None` when the text is not an amount with two decimals.
    pub(super) fn minor_units(&self) -> Option<u64> {
        let (whole, cents) = self.value.split_once('.')?;
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let well_formed = !whole.is_empty() && cents.len() == 2 && digits(whole) && digits(cents);
        if !well_formed || self.value.len() > 19 {
            return None;
        }
        whole.parse::<u64>().ok()?.checked_mul(100)?.checked_add(cents.parse().ok()?)
    }

    /// An amount of hundredths in this one's currency.
    pub(super) fn of_minor_units(&self, units: u64) -> Self {
        Self {
            value: format!("{}.{:02}", units / 100, units % 100),
            currency: self.currency.clone(),
        }
    }

    pub(super) fn encode(&self) -> Box<str> {
        format!("{} {}", self.value, self.currency).into_boxed_str()
    }

    pub(super) fn decode(text: &str) -> Self {
        let (value, currency) = text.split_once(' ').unwrap_or((text, ""));
        Self { value: value.to_owned(), currency: currency.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn money(value: &str) -> Money {
        Money { value: value.to_owned(), currency: "IDR".to_owned() }
    }

    #[test]
    fn only_two_decimals_make_an_amount() {
        assert_eq!(money("10000.05").minor_units(), Some(1_000_005));
        for wrong in ["1500", "1.5", "1.500", "-1.00", ".00", "1,00", "+1.00", "", "1.00 "] {
            assert_eq!(money(wrong).minor_units(), None, "{wrong}");
        }
        assert_eq!(money("1.00").of_minor_units(250), money("2.50"));
    }
}
