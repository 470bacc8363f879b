//! Whose listener the plugin stands in: the merchants', or the operators'.

use super::reader::{Errors, Fields, Node};

/// Whose listener the plugin stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The merchants': it decides about payments.
    Payments,
    /// The operators': it shows what is, and does what they ask for.
    Admin {
        /// SHA-256 of the token that every request must bring.
        token_sha256: [u8; 32],
    },
}

pub(super) fn read(fields: &Fields<'_>, errors: &Errors) -> Role {
    let is_admin = fields.choice("role", &[("payments", false), ("admin", true)], false);
    let token = fields.get("token_sha256");
    match (is_admin, token) {
        (false, None) => Role::Payments,
        (false, Some(node)) => {
            let expected = "nothing: nobody brings a token to the payments' listener";
            errors.add(&node.path, expected, "a hash");
            Role::Payments
        }
        (true, token) => {
            // Whoever puts the token itself here must not find it in a log: nothing is repeated.
            const EXPECTED: &str =
                "the SHA-256 of the operators' token as 64 hexadecimal digits in lower case";
            let digest = token.as_ref().and_then(Node::as_text).and_then(digest);
            if digest.is_none() {
                let found = if token.is_some() { "something else" } else { "nothing" };
                errors.add("admin.token_sha256", EXPECTED, found);
            }
            Role::Admin { token_sha256: digest.unwrap_or_default() }
        }
    }
}

fn digest(text: &str) -> Option<[u8; 32]> {
    let digit = |byte: &u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut digest = [0; 32];
    let pairs = text.as_bytes().chunks_exact(2);
    if text.len() != 64 {
        return None;
    }
    for (byte, pair) in digest.iter_mut().zip(pairs) {
        let [high, low] = pair else { return None };
        *byte = digit(high)? << 4 | digit(low)?;
    }
    Some(digest)
}
