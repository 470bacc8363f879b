//! Base64 (RFC 4648) in the standard alphabet.

/// Bytes in the standard alphabet, with or without padding. `None` for anything else.
pub(in crate::engine) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut bare = text;
    for _ in 0..2 {
        bare = bare.strip_suffix(b"=").unwrap_or(bare);
    }
    let mut bytes = Vec::with_capacity(bare.len());
    let (mut held, mut bits) = (0_u32, 0_u32);
    for letter in bare {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        held = (held << 6 | u32::from(value)) & 0xffff;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from(held >> bits & 0xff).unwrap_or(0));
        }
    }
    (bare.len() % 4 != 1).then_some(bytes)
}
