//! SNAP's asymmetric signature, written from DANA's documents and not from the engine.

use std::fmt;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::prelude::BASE64_STANDARD;
use ring::digest::{SHA256, digest};
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};

const TAG_SEQUENCE: u8 = 0x30;
const TAG_INTEGER: u8 = 0x02;
const TAG_BIT_STRING: u8 = 0x03;

/// A merchant's RSA public key.
#[derive(Clone, Debug)]
pub(super) struct PublicKey(UnparsedPublicKey<Vec<u8>>);

/// Why a key file cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum KeyError {
    NotBase64,
    NotRsa,
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotBase64 => "expected PEM: base64 lines between -----BEGIN and -----END",
            Self::NotRsa => "expected an RSA key as SubjectPublicKeyInfo or PKCS#1 RSAPublicKey",
        })
    }
}

impl PublicKey {
    /// Reads a PEM file. Its label is not believed: the bytes tell the two forms apart.
    pub(super) fn from_pem(pem: &str) -> Result<Self, KeyError> {
        let der = pem_bytes(pem).ok_or(KeyError::NotBase64)?;
        let key = rsa_public_key(&der).ok_or(KeyError::NotRsa)?;
        Ok(Self(UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.to_vec())))
    }
}

/// The parts of a request that a signature covers.
#[derive(Clone, Copy)]
pub(super) struct Signed<'a> {
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    pub(super) timestamp: &'a str,
    pub(super) body: &'a [u8],
}

/// Whether one of the keys made this signature over the request.
pub(super) fn verify_request(keys: &[PublicKey], signature: &str, signed: Signed<'_>) -> bool {
    verify(keys, signature, request_text(signed).as_bytes())
}

/// What is signed of a request.
pub(super) fn request_text(signed: Signed<'_>) -> String {
    let hash = hex(digest(&SHA256, &minify(signed.body)).as_ref());
    format!("{}:{}:{hash}:{}", signed.method, signed.path, signed.timestamp)
}

/// A token request is signed over its client key and time only.
pub(super) fn verify_token(
    keys: &[PublicKey],
    signature: &str,
    client_key: &str,
    timestamp: &str,
) -> bool {
    verify(keys, signature, format!("{client_key}|{timestamp}").as_bytes())
}

fn verify(keys: &[PublicKey], signature: &str, message: &[u8]) -> bool {
    decode_base64(signature)
        .is_some_and(|bytes| keys.iter().any(|key| key.0.verify(message, &bytes).is_ok()))
}

/// Removes the whitespace that carries no meaning and keeps every other byte: SDKs sign the
/// compact form and send a spaced one, and escapes must stay as they were written.
pub(super) fn minify(json: &[u8]) -> Vec<u8> {
    let mut minified = Vec::with_capacity(json.len());
    let (mut in_string, mut escaped) = (false, false);
    for &byte in json {
        if in_string {
            in_string = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
        } else {
            if matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                continue;
            }
            in_string = byte == b'"';
        }
        minified.push(byte);
    }
    minified
}

/// SHA-256 of some bytes, in lower-case hexadecimal.
pub(super) fn sha256_hex(bytes: &[u8]) -> String {
    hex(digest(&SHA256, bytes).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 0x0f])
        .filter_map(|nibble| DIGITS.get(usize::from(nibble)))
        .collect()
}

/// What stands in a PEM file.
pub(super) fn pem_bytes(pem: &str) -> Option<Vec<u8>> {
    let text: String =
        pem.lines().filter(|line| !line.starts_with("-----")).map(str::trim).collect();
    decode_base64(&text)
}

/// In the standard alphabet, with padding.
pub(super) fn encode_base64(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(bytes)
}

/// In the standard alphabet, with padding or without.
fn decode_base64(text: &str) -> Option<Vec<u8>> {
    const EITHER: GeneralPurpose = GeneralPurpose::new(
        &STANDARD,
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    EITHER.decode(text.trim()).ok().filter(|bytes| !bytes.is_empty())
}

/// The PKCS#1 key inside either form; what the verifier wants is the bare `RSAPublicKey`.
fn rsa_public_key(der: &[u8]) -> Option<&[u8]> {
    let (outer, _) = element(der, TAG_SEQUENCE)?;
    if outer.first() == Some(&TAG_INTEGER) {
        return Some(der);
    }
    let (_algorithm, rest) = element(outer, TAG_SEQUENCE)?;
    let (bit_string, _) = element(rest, TAG_BIT_STRING)?;
    let (unused_bits, key) = bit_string.split_first()?;
    let (inner, _) = element(key, TAG_SEQUENCE)?;
    (*unused_bits == 0 && inner.first() == Some(&TAG_INTEGER)).then_some(key)
}

/// Splits one DER element with this tag into its content and what follows it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let count = usize::from(first & 0x7f);
        if count == 0 || count > 3 {
            return None;
        }
        let (bytes, rest) = rest.split_at_checked(count)?;
        (bytes.iter().fold(0, |length, &byte| length << 8 | usize::from(byte)), rest)
    };
    if found == tag { rest.split_at_checked(length) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPKI: &str = include_str!("../../../tests/cli/merchant-spki.pem");
    const PKCS1: &str = include_str!("../../../tests/cli/merchant-pkcs1.pem");
    const SIGNATURE: &str = include_str!("../../../tests/cli/create-order.signature");
    const BODY: &[u8] = include_bytes!("../../../tests/cli/create-order.json");

    fn signed(body: &[u8]) -> Signed<'_> {
        Signed {
            method: "POST",
            path: "/payment-gateway/v1.0/debit/payment-host-to-host.htm",
            timestamp: "2026-11-22T23:17:39+07:00",
            body,
        }
    }

    #[test]
    fn minify_strips_only_whitespace_that_means_nothing() {
        let cases: [(&str, &str); 5] = [
            ("{\"a\": 1, \"b\" : [ 1 ,\t2 ]}\r\n", "{\"a\":1,\"b\":[1,2]}"),
            (r#"{"a": "x  y"}"#, r#"{"a":"x  y"}"#),
            (r#"{"a": "quote \" , {"}"#, r#"{"a":"quote \" , {"}"#),
            (r#"{"a": "end \\", "b": 2}"#, r#"{"a":"end \\","b":2}"#),
            (r#"{"a": "\u00e9 é", "n": 1.50}"#, r#"{"a":"\u00e9 é","n":1.50}"#),
        ];
        for (given, expected) in cases {
            assert_eq!(String::from_utf8(minify(given.as_bytes())).unwrap(), expected);
        }
    }

    #[test]
    fn both_key_forms_verify_a_signature_made_by_openssl() {
        for pem in [SPKI, PKCS1] {
            let keys = [PublicKey::from_pem(pem).unwrap()];
            assert!(verify_request(&keys, SIGNATURE.trim(), signed(BODY)));
            let body = String::from_utf8(BODY.to_vec()).unwrap();
            let spaced = body.replace(", \"", ",\n  \"");
            assert!(verify_request(&keys, SIGNATURE.trim(), signed(spaced.as_bytes())));
            let changed = body.replace("Kopi susu", "Kopi  susu");
            assert!(!verify_request(&keys, SIGNATURE.trim(), signed(changed.as_bytes())));
        }
    }

    #[test]
    fn anything_else_does_not_verify() {
        let keys = [PublicKey::from_pem(SPKI).unwrap()];
        let other = Signed { timestamp: "2026-11-22T23:17:40+07:00", ..signed(BODY) };
        assert!(!verify_request(&keys, SIGNATURE.trim(), other));
        assert!(!verify_request(&keys, "", signed(BODY)));
        assert!(!verify_request(&keys, "not base64!", signed(BODY)));
        assert!(!verify_request(&[], SIGNATURE.trim(), signed(BODY)));
        assert!(!verify_token(&keys, SIGNATURE.trim(), "client", "2026-11-22T23:17:39+07:00"));
    }

    #[test]
    fn a_bad_key_file_says_what_was_expected() {
        assert_eq!(PublicKey::from_pem("-----BEGIN\n***\n").unwrap_err(), KeyError::NotBase64);
        assert_eq!(PublicKey::from_pem("AAAA").unwrap_err(), KeyError::NotRsa);
    }
}
