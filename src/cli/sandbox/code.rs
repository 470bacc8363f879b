//! SNAP response codes: HTTP status, service and case in seven characters.

use super::operations::Operation;

/// A response code. The service is absent when it is to be that of the operation asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Code {
    pub(super) http: u16,
    service: Option<u8>,
    case: u8,
}

impl Code {
    /// What a code must look like, for messages.
    pub(super) const EXPECTED: &'static str =
        "seven characters: HTTP status 200 to 599, two service digits or xx, two case digits";

    pub(super) const SUCCESS: Self = Self::of(200, 0);

    /// A code of whichever operation is asked for.
    pub(super) const fn of(http: u16, case: u8) -> Self {
        Self { http, service: None, case }
    }

    /// Reads `5045400`, or `504xx00` for whichever operation is asked for.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (http, rest) = text.split_at_checked(3)?;
        let (service, case) = rest.split_at_checked(2)?;
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if case.len() != 2 || !digits(http) || !digits(case) {
            return None;
        }
        let service = match service {
            "xx" => None,
            other if digits(other) => Some(other.parse().ok()?),
            _ => return None,
        };
        let http = http.parse().ok().filter(|http| (200..=599).contains(http))?;
        Some(Self { http, service, case: case.parse().ok()? })
    }

    /// The seven digits as an answer carries them.
    pub(super) fn resolve(self, operation: Option<Operation>) -> String {
        let service = self.service.map_or_else(
            || operation.map_or("00", Operation::service).to_owned(),
            |service| format!("{service:02}"),
        );
        format!("{}{service}{:02}", self.http, self.case)
    }

    /// The code as it was asked for, with `xx` for any service.
    pub(super) fn written(self) -> String {
        let service =
            self.service.map_or_else(|| "xx".to_owned(), |service| format!("{service:02}"));
        format!("{}{service}{:02}", self.http, self.case)
    }

    pub(super) fn is_success(self) -> bool {
        self.http == 200 && self.case == 0
    }

    /// Whether DANA says the payment may have been made although the answer is no success.
    pub(super) fn is_pending(self) -> bool {
        self.http == 202 || self.http == 504 || (self.http >= 500 && self.case == 1)
    }

    /// DANA's own words for the codes it documents.
    pub(super) fn message(self) -> String {
        let known = match (self.http, self.case) {
            (200, 0) => "Successful",
            (202, 0) => "Request In Progress",
            (400, 0) => "Bad Request",
            (400, 1) => "Invalid Field Format",
            (400, 2) => "Invalid Mandatory Field",
            (401, 0) => "Unauthorized. Signature",
            (401, 1) => "Invalid Token (B2B)",
            (401, 2) => "Invalid Customer Token",
            (403, 2) => "Exceeds Transaction Amount Limit",
            (403, 3) => "Suspected Fraud",
            (403, 5) => "Do Not Honor",
            (403, 14) => "Insufficient Funds",
            (403, 15) => "Transaction Not Permitted",
            (404, 0) => "Invalid Transaction Status",
            (404, 1) => "Transaction Not Found",
            (404, 8) => "Invalid Merchant",
            (404, 13) => "Invalid Amount",
            (404, 18) => "Inconsistent Request",
            (405, _) => "Requested Function Is Not Supported",
            (409, 0) => "Conflict",
            (409, 1) => "Duplicate partnerReferenceNo",
            (429, _) => "Too Many Requests",
            (500, 0) => "General Error",
            (500, 1) => "Internal Server Error",
            (500, 2) => "External Server Error",
            (504, _) => "Timeout",
            _ => return format!("Sandbox answer {}-{:02}", self.http, self.case),
        };
        known.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_read_and_written_back() {
        let code = Code::parse("5045400").unwrap();
        assert_eq!((code.http, code.resolve(None)), (504, "5045400".to_owned()));
        let any = Code::parse("202xx00").unwrap();
        assert_eq!(any.resolve(Some(Operation::Topup)), "2023800");
        assert_eq!(any.resolve(None), "2020000");
        assert_eq!((any.written(), code.written()), ("202xx00".to_owned(), "5045400".to_owned()));
        for wrong in ["", "504540", "50454000", "6005400", "504x400", "504XX00", "+045400", "ééé"]
        {
            assert_eq!(Code::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn codes_after_which_money_may_have_moved_are_pending() {
        let pending = ["202xx00", "504xx00", "500xx01", "5005401"];
        let definite =
            ["500xx00", "500xx02", "429xx00", "403xx14", "404xx18", "409xx01", "404xx01"];
        assert!(pending.iter().all(|code| Code::parse(code).unwrap().is_pending()));
        assert!(!definite.iter().any(|code| Code::parse(code).unwrap().is_pending()));
    }
}
