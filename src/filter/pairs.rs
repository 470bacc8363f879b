//! Header fields in the ABI's serialised form: their number, the length of each name and value,
//! then names and values, each with a zero byte after it. All numbers are 32 bits, little-endian.

/// The pairs in `bytes`, borrowed from there; `None` when they are not of this form.
#[must_use]
pub fn decode(bytes: &[u8]) -> Option<Vec<(&[u8], &[u8])>> {
    let (count, mut sizes) = word(bytes)?;
    let mut text = sizes.get(count.checked_mul(8)?..)?;
    let mut pairs = Vec::with_capacity(count);
    for _ in 0..count {
        let (name_size, rest) = word(sizes)?;
        let (value_size, rest) = word(rest)?;
        sizes = rest;
        let (name, rest) = zero_ended(text, name_size)?;
        let (value, rest) = zero_ended(rest, value_size)?;
        text = rest;
        pairs.push((name, value));
    }
    Some(pairs)
}

fn word(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (word, rest) = bytes.split_first_chunk::<4>()?;
    Some((usize::try_from(u32::from_le_bytes(*word)).ok()?, rest))
}

fn zero_ended(bytes: &[u8], size: usize) -> Option<(&[u8], &[u8])> {
    let (text, rest) = bytes.split_at_checked(size)?;
    Some((text, rest.split_first()?.1))
}

/// The serialised form of `pairs`.
#[must_use]
pub fn encode<V: AsRef<str>>(pairs: &[(&str, V)]) -> Vec<u8> {
    let word = |size: usize| u32::try_from(size).unwrap_or(u32::MAX).to_le_bytes();
    let mut bytes = Vec::new();
    bytes.extend(word(pairs.len()));
    for (name, value) in pairs {
        bytes.extend(word(name.len()));
        bytes.extend(word(value.as_ref().len()));
    }
    for text in pairs.iter().flat_map(|(name, value)| [*name, value.as_ref()]) {
        bytes.extend_from_slice(text.as_bytes());
        bytes.push(0);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_decoded() {
        let pairs =
            [("a", "1".to_owned()), ("", String::new()), ("content-type", "x\0y".to_owned())];
        let bytes = encode(&pairs);
        let decoded = decode(&bytes).unwrap();
        let expected: Vec<_> = pairs.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())).collect();
        assert_eq!(decoded, expected);
    }

    #[test]
    fn any_cut_and_any_count_is_harmless() {
        let bytes = encode(&[("name", "value".to_owned()), ("b", "2".to_owned())]);
        for cut in 0..bytes.len() {
            assert_eq!(decode(&bytes[..cut]), None, "{cut}");
        }
        assert_eq!(decode(&[0xff; 64]), None);
        assert_eq!(decode(&[0; 4]), Some(Vec::new()));
    }
}
