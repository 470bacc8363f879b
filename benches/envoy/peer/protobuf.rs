//! Just enough of protobuf's encoding for messages of strings, bytes and messages.

const VARINT: u64 = 0;
const LENGTH: u64 = 2;

/// Adds a field of text, bytes or a message.
pub(super) fn put(message: &mut Vec<u8>, number: u64, value: &[u8]) {
    varint(message, number << 3 | LENGTH);
    varint(message, value.len() as u64);
    message.extend_from_slice(value);
}

/// Adds a field of a number.
pub(super) fn put_number(message: &mut Vec<u8>, number: u64, value: u64) {
    varint(message, number << 3 | VARINT);
    varint(message, value);
}

fn varint(message: &mut Vec<u8>, mut value: u64) {
    loop {
        let [low, ..] = value.to_le_bytes();
        value >>= 7;
        if value == 0 {
            message.push(low & 0x7f);
            return;
        }
        message.push(low | 0x80);
    }
}

/// The fields of text, bytes and messages in a message, with their numbers; others are passed over. It ends
/// where the message is none.
pub(super) fn fields(message: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    let mut rest = message;
    std::iter::from_fn(move || {
        loop {
            let key = take_varint(&mut rest)?;
            match key & 7 {
                VARINT => drop(take_varint(&mut rest)?),
                1 => rest = rest.get(8..)?,
                LENGTH => {
                    let length = usize::try_from(take_varint(&mut rest)?).ok()?;
                    let (value, after) = rest.split_at_checked(length)?;
                    rest = after;
                    return Some((key >> 3, value));
                }
                5 => rest = rest.get(4..)?,
                _ => return None,
            }
        }
    })
}

/// The last field of this number.
pub(super) fn field(message: &[u8], number: u64) -> Option<&[u8]> {
    fields(message).filter(|(found, _)| *found == number).last().map(|(_, value)| value)
}

fn take_varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (first, after) = rest.split_first()?;
        *rest = after;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}
