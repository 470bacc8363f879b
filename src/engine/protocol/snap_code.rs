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
}

impl std::fmt::Display for SnapCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [tens, ones] = self.service.map(char::from);
        write!(f, "{:03}{tens}{ones}{:02}", self.http, self.case)
    }
}
