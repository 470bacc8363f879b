//! The wire format of Protocol Buffers, as far as etcd's messages need it.
//!
//! A message is a sequence of fields. Each has a tag, which is its number and a wire type in one
//! varint, and a value: a varint, eight or four bytes, or a length and that many bytes. A message
//! within a message is a field of bytes, so nothing here is recursive.
//!
//! What the messages call in many places is not inlined: copies of it would make the module 2 kB
//! larger, and a call costs nothing beside a round trip to etcd.

#[cfg(test)]
mod tests;

const VARINT: u32 = 0;
const EIGHT_BYTES: u32 = 1;
const BYTES: u32 = 2;
const FOUR_BYTES: u32 = 5;

/// Writes the fields of one message. The caller writes them by ascending number, as the official
/// serialisers do.
#[derive(Default)]
pub(super) struct ProtoWriter(Vec<u8>);

impl ProtoWriter {
    /// A number, also where it is 0. A member of a `oneof` is written so: it says which one is set.
    #[inline(never)]
    pub(super) fn number(&mut self, field: u32, value: u64) {
        self.varint((field << 3 | VARINT).into());
        self.varint(value);
    }

    /// A number as proto3 writes one: 0 is the default and left out.
    pub(super) fn number_unless_zero(&mut self, field: u32, value: u64) {
        if value != 0 {
            self.number(field, value);
        }
    }

    /// Bytes or a message, also where they are empty.
    #[inline(never)]
    pub(super) fn bytes(&mut self, field: u32, bytes: &[u8]) {
        self.varint((field << 3 | BYTES).into());
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    /// Bytes as proto3 writes them: none is the default and left out.
    pub(super) fn bytes_unless_empty(&mut self, field: u32, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.bytes(field, bytes);
        }
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// Seven bits a byte, the lowest first. All bytes but the last have their top bit set.
    #[inline(never)]
    fn varint(&mut self, mut value: u64) {
        while value > 0x7f {
            let [low, ..] = value.to_le_bytes();
            self.0.push(low | 0x80);
            value >>= 7;
        }
        let [low, ..] = value.to_le_bytes();
        self.0.push(low);
    }
}

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ProtoValue<'m> {
    /// A number or a flag.
    Varint(u64),
    /// Bytes, a text or a message.
    Bytes(&'m [u8]),
    /// Four or eight bytes. No message of etcd that is read here has such a field.
    Fixed,
}

/// Reads the fields of one message in the order of its bytes. It allocates nothing.
///
/// An element is `None` where the bytes are not a field, and nothing comes after it: a value that
/// is cut short, a varint of more than 64 bits, a length beyond the end, the number 0, a number of
/// more than 29 bits, a group, or a wire type that does not exist.
pub(super) struct ProtoFields<'m>(&'m [u8]);

impl<'m> ProtoFields<'m> {
    pub(super) const fn new(message: &'m [u8]) -> Self {
        Self(message)
    }

    #[inline(never)]
    fn field(&mut self) -> Option<(u32, ProtoValue<'m>)> {
        let tag = u32::try_from(self.varint()?).ok()?;
        let number = tag >> 3;
        let value = match tag & 7 {
            VARINT => ProtoValue::Varint(self.varint()?),
            EIGHT_BYTES => self.take(8).map(|_| ProtoValue::Fixed)?,
            BYTES => {
                let length = usize::try_from(self.varint()?).ok()?;
                ProtoValue::Bytes(self.take(length)?)
            }
            FOUR_BYTES => self.take(4).map(|_| ProtoValue::Fixed)?,
            _ => return None,
        };
        (number > 0).then_some((number, value))
    }

    fn take(&mut self, length: usize) -> Option<&'m [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            let bits = u64::from(byte & 0x7f);
            // The tenth byte has room for one bit only.
            if bits << shift >> shift != bits {
                return None;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }
}

impl<'m> Iterator for ProtoFields<'m> {
    type Item = Option<(u32, ProtoValue<'m>)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            self.0 = &[];
        }
        Some(field)
    }
}
