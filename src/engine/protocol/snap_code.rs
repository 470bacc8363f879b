//! SNAP's response codes.

/// A SNAP response code of seven digits: HTTP status, service, case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapCode {
    /// The HTTP status, which the code repeats.
    pub http: u16,
    /// The two digits of the service.
    pub service: [u8; 2],
    /// The case within status and service.
    pub case: u8,
}

impl SnapCode {
    /// Parses seven digits. `None` for any other text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != 7 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let mut service = [0; 2];
        service.copy_from_slice(text.as_bytes().get(3..5)?);
        let (http, case) = (text.get(..3)?.parse().ok()?, text.get(5..)?.parse().ok()?);
        Some(Self { http, service, case })
    }

    /// Its seven digits.
    #[must_use]
    pub fn digits(self) -> String {
        let [tens, ones] = self.service.map(|digit| u32::from(digit.saturating_sub(b'0')));
        let behind = (tens * 10 + ones) * 100 + u32::from(self.case);
        // Each answer has one: no formatting for it. The 1 keeps the zeros behind it, and goes.
        let mut digits = (10_000_000 + u32::from(self.http) * 10_000 + behind).to_string();
        digits.remove(0);
        digits
    }
}

impl std::fmt::Display for SnapCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.digits())
    }
}

#[cfg(test)]
mod tests {
    use super::SnapCode;

    #[test]
    fn a_code_is_written_as_it_was_read() {
        for digits in ["0000000", "0015400", "2005400", "4045418", "5049999", "9990001"] {
            assert_eq!(SnapCode::parse(digits).map(SnapCode::digits).as_deref(), Some(digits));
        }
        for other in ["200540", "20054000", "20054a0", "+005400"] {
            assert_eq!(SnapCode::parse(other), None, "{other}");
        }
    }
}
