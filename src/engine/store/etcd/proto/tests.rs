//! The wire format, by hand and at random.

use super::*;
use proptest::prelude::*;

fn read(bytes: &[u8]) -> Option<Vec<(u32, ProtoValue<'_>)>> {
    ProtoFields::new(bytes).collect()
}

fn varint(value: u64) -> Vec<u8> {
    let mut writer = ProtoWriter::default();
    writer.varint(value);
    writer.into_bytes()
}

#[test]
fn fields_are_written_as_the_specification_says() {
    let mut writer = ProtoWriter::default();
    // The examples of its page on encoding.
    writer.number(1, 150);
    writer.bytes(2, b"testing");
    writer.bytes(3, &[0x08, 0x96, 0x01]);
    let bytes = writer.into_bytes();
    assert_eq!(bytes, b"\x08\x96\x01\x12\x07testing\x1a\x03\x08\x96\x01");
    let fields = [
        (1, ProtoValue::Varint(150)),
        (2, ProtoValue::Bytes(b"testing")),
        (3, ProtoValue::Bytes(b"\x08\x96\x01")),
    ];
    assert_eq!(read(&bytes).unwrap(), fields);
}

#[test]
fn defaults_are_left_out_only_where_that_is_asked_for() {
    let mut writer = ProtoWriter::default();
    writer.number_unless_zero(1, 0);
    writer.bytes_unless_empty(2, b"");
    writer.number(3, 0);
    writer.bytes(4, b"");
    writer.number_unless_zero(16, 1);
    writer.bytes_unless_empty(64, b"a");
    assert_eq!(writer.into_bytes(), [0x18, 0, 0x22, 0, 0x80, 1, 1, 0x82, 4, 1, b'a']);
}

#[test]
fn a_varint_has_as_many_bytes_as_it_needs() {
    for (value, bytes) in [(0, 1), (127, 1), (128, 2), (16_383, 2), (16_384, 3), (u64::MAX, 10)] {
        assert_eq!(varint(value).len(), bytes, "{value}");
    }
    assert_eq!(varint(i64::MAX.cast_unsigned()), [[0xff; 8].as_slice(), &[0x7f]].concat());
}

#[test]
fn what_is_no_field_is_none() {
    let long_number = [&[0x08][..], &[0xff; 9], &[2]].concat();
    let longer_number = [&[0x08][..], &[0x80; 10], &[0]].concat();
    let huge = [&[0x0a][..], &[0xff; 9], &[1]].concat();
    let huge_tag = [&[0xf8][..], &[0xff; 3], &[0x1f, 0]].concat();
    for bytes in [
        &[0x08][..],
        &[0x08, 0x80],
        &long_number,
        &longer_number,
        &[0x0a],
        &[0x0a, 2, 0],
        &huge,
        &[0x09, 1, 2, 3, 4, 5, 6, 7],
        &[0x0d, 1, 2, 3],
        // Numbers: 0, and more than 29 bits.
        &[0x00, 0],
        &[0x02, 0],
        &huge_tag,
        // Wire types: a group, its end, and two that do not exist.
        &[0x0b, 0x0c],
        &[0x0c],
        &[0x0e, 0],
        &[0x0f, 0],
    ] {
        let mut fields = ProtoFields::new(bytes);
        assert_eq!(fields.next(), Some(None), "{bytes:?}");
        assert_eq!(fields.next(), None, "nothing comes after a mistake in {bytes:?}");
    }
}

#[test]
fn what_is_a_field_to_the_last_byte_is_read() {
    let greatest = [&[0x08][..], &[0xff; 9], &[1]].concat();
    assert_eq!(read(&greatest).unwrap(), [(1, ProtoValue::Varint(u64::MAX))]);
    // More bytes than it needs.
    assert_eq!(read(&[0x88, 0x00, 0x80, 0x00]).unwrap(), [(1, ProtoValue::Varint(0))]);
    assert_eq!(read(&[0x0a, 2, 1, 2]).unwrap(), [(1, ProtoValue::Bytes(&[1, 2]))]);
    assert_eq!(read(&[0x09, 1, 2, 3, 4, 5, 6, 7, 8]).unwrap(), [(1, ProtoValue::Fixed)]);
    assert_eq!(read(&[0x0d, 1, 2, 3, 4]).unwrap(), [(1, ProtoValue::Fixed)]);
    let number = [&[0xf8][..], &[0xff; 3], &[0x0f, 0]].concat();
    assert_eq!(read(&number).unwrap(), [((1 << 29) - 1, ProtoValue::Varint(0))]);
    assert_eq!(read(&[]).unwrap(), []);
}

proptest! {
    #[test]
    fn noise_ends(noise in prop::collection::vec(any::<u8>(), 0..200)) {
        // Each field has two bytes at least.
        prop_assert!(ProtoFields::new(&noise).count() <= noise.len() / 2 + 1);
    }

    #[test]
    fn what_is_written_is_read(fields in prop::collection::vec(
        (1u32..1 << 29, any::<u64>(), 0u32..65, prop::collection::vec(any::<u8>(), 0..300), any::<bool>()),
        0..20,
    )) {
        let mut writer = ProtoWriter::default();
        let mut expected = Vec::new();
        for (number, bits, shift, bytes, is_number) in &fields {
            if *is_number {
                let value = bits.checked_shr(*shift).unwrap_or(0);
                writer.number(*number, value);
                expected.push((*number, ProtoValue::Varint(value)));
            } else {
                writer.bytes(*number, bytes);
                expected.push((*number, ProtoValue::Bytes(bytes)));
            }
        }
        let bytes = writer.into_bytes();
        prop_assert_eq!(read(&bytes), Some(expected));
    }
}
