//! What nobody may find in anything that is written or shown: every test's merchant sends it, and
//! at the end of every Envoy and sandbox all their outputs are searched for it.

use std::collections::BTreeSet;

/// A payment's signature, as it might be.
pub(crate) const SIGNATURE: &str = "c2VjcmV0LXNpZ25hdHVyZS1vZi1hLW1lcmNoYW50";
/// A merchant's access token.
pub(crate) const AUTHORIZATION: &str = "Bearer b2b-7d1f5c0e9a4b";
/// A customer's token.
pub(crate) const CUSTOMER_TOKEN: &str = "Bearer b2b2c-51c9e0aa7f";
/// A customer's telephone number, in all tests.
pub(crate) const CUSTOMER_NUMBER: &str = "62811742234";
/// A customer's bank account, in all tests.
pub(crate) const ACCOUNT_NUMBER: &str = "2460888509";
/// Stands in the bodies of payments, in a member that nobody reads.
pub(crate) const BODY_NOTE: &str = "note-to-nobody-93c1";

/// What a merchant sends with every request beside what a test says.
pub(crate) const HEADERS: [(&str, &str); 2] =
    [("x-signature", SIGNATURE), ("authorization", AUTHORIZATION)];

/// Members of bodies: whatever shows a part of a body shows one of them.
const MEMBERS: [&str; 4] = ["partnerReferenceNo", "merchantId", "customerNumber", "accessToken"];

/// A signature of RSA with 1024 bits or more, a token with claims: longer than any hash of ours, and
/// with more different characters than anything that somebody has repeated.
const ENCODED_LENGTH: usize = 100;
const ENCODED_CHARACTERS: usize = 24;
/// Of what was found so much is shown, and so many.
const SHOWN: usize = 60;

/// The secrets that stand in a text.
pub(crate) fn found_in(text: &str) -> Vec<String> {
    let token = super::envoy::TOKEN;
    let values = [SIGNATURE, AUTHORIZATION, CUSTOMER_TOKEN, CUSTOMER_NUMBER, ACCOUNT_NUMBER];
    // Without the scheme: whoever cuts a header cuts there.
    let bare = values.map(|value| value.rsplit(' ').next().unwrap());
    let named = bare.into_iter().chain([BODY_NOTE, token]).chain(MEMBERS);
    let named = named.filter(|value| text.contains(value)).map(str::to_owned);
    let is_encoded = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=_-".contains(byte);
    let runs = text.as_bytes().split(|byte| !is_encoded(byte));
    let long = runs.filter(|run| {
        let different = || run.iter().collect::<BTreeSet<_>>().len();
        run.len() >= ENCODED_LENGTH && different() >= ENCODED_CHARACTERS
    });
    let long = long.map(|run| String::from_utf8_lossy(&run[..SHOWN]).into_owned());
    named.chain(long).take(SHOWN).collect()
}
