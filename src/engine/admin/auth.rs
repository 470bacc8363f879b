//! Who asks: whoever brings the token, as `Bearer`, or as the password of `Basic`, so that a
//! browser can show the page.
//!
//! What is compared is the token's SHA-256, all bytes of it, so that the time it takes says
//! nothing. Guesses are not counted: a token of 256 bits needs no bound.

use crate::engine::codec::{base64, sha256};
use crate::engine::limits;

/// Somebody who brought the token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Caller {
    /// Who they say they are: the user name of `Basic`.
    pub(super) user: Option<String>,
}

/// Who asks, if the token in these header fields is the one of this hash.
pub(super) fn authenticate(headers: &[(&[u8], &[u8])], token_sha256: &[u8; 32]) -> Option<Caller> {
    let mut given = headers.iter().filter(|(name, _)| *name == b"authorization");
    // Of two, nobody knows which one is meant.
    let (Some((_, value)), None) = (given.next(), given.next()) else {
        return None;
    };
    if value.len() > limits::AUTHORIZATION_BYTES_MAX {
        return None;
    }
    let at = value.iter().position(|byte| *byte == b' ')?;
    let (scheme, rest) = value.split_at(at);
    let rest = rest.trim_ascii();
    if scheme.eq_ignore_ascii_case(b"bearer") {
        return is_token(rest, token_sha256).then(Caller::default);
    }
    if !scheme.eq_ignore_ascii_case(b"basic") {
        return None;
    }
    let pair = base64::decode(rest)?;
    let colon = pair.iter().position(|byte| *byte == b':')?;
    let (user, password) = (pair.get(..colon)?, pair.get(colon + 1..)?);
    let user = String::from_utf8(user.to_vec()).ok().filter(|user| !user.is_empty());
    is_token(password, token_sha256).then_some(Caller { user })
}

fn is_token(token: &[u8], token_sha256: &[u8; 32]) -> bool {
    let digest = sha256(token);
    let differences = digest.iter().zip(token_sha256).fold(0, |all, (a, b)| all | (a ^ b));
    differences == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "s3cret";

    fn check(headers: &[(&str, &str)], expected: Option<Option<&str>>) {
        let digest = sha256(TOKEN.as_bytes());
        let fields: Vec<(&[u8], &[u8])> =
            headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
        let caller = authenticate(&fields, &digest);
        let user = caller.as_ref().map(|caller| caller.user.as_deref());
        assert_eq!(user, expected, "{headers:?}");
    }

    fn authorization(value: &str, expected: Option<Option<&str>>) {
        check(&[(":path", "/"), ("authorization", value)], expected);
    }

    #[test]
    fn the_token_is_brought_as_bearer_or_as_a_password() {
        authorization("Bearer s3cret", Some(None));
        authorization("bearer  s3cret ", Some(None));
        authorization("Basic YW5uYTpzM2NyZXQ=", Some(Some("anna")));
        authorization("BASIC YW5uYTpzM2NyZXQ", Some(Some("anna")));
        authorization("Basic OnMzY3JldA==", Some(None));
    }

    #[test]
    fn nothing_else_is_let_in() {
        for value in [
            "",
            "Bearer",
            "Bearer ",
            "s3cret",
            "Bearer S3cret",
            "Bearer s3cret2",
            "Bearer s3cre",
            "Bearer s3cret s3cret",
            "Token s3cret",
            // anna, anna:, anna:s3cre, anna:s3cret: and garbage.
            "Basic YW5uYQ==",
            "Basic YW5uYTo=",
            "Basic YW5uYTpzM2NyZQ==",
            "Basic YW5uYTpzM2NyZXQ6",
            "Basic !",
            "Basic Y",
            "Basic YW5uYTpzM2NyZXQ====",
            "Basic",
        ] {
            authorization(value, None);
        }
        authorization(&format!("Bearer {}", "s".repeat(2000)), None);
        check(&[], None);
        let twice = [("authorization", "Bearer s3cret"), ("authorization", "Bearer s3cret")];
        check(&twice, None);
        check(&[("x-authorization", "Bearer s3cret")], None);
    }

    #[test]
    fn base64_is_decoded() {
        for (text, bytes) in [
            ("", Some(&b""[..])),
            ("Zg==", Some(b"f")),
            ("Zm8", Some(b"fo")),
            ("Zm9v", Some(b"foo")),
            ("/+8A", Some(&[0xff, 0xef, 0])),
            ("Zm9v\n", None),
            ("Z", None),
        ] {
            assert_eq!(base64::decode(text.as_bytes()).as_deref(), bytes, "{text}");
        }
    }
}
