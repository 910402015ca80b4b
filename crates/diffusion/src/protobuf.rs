//! The wire format of protobuf, as far as a few messages need it.

/// A message that is written field by field, in the order of their numbers. Numbers that are 0 are left out, as
/// version 3 does.
#[derive(Default)]
pub struct Message {
    bytes: Vec<u8>,
}

impl Message {
    /// Adds an int64.
    pub fn integer(self, field: u32, value: u64) -> Self {
        if value == 0 { self } else { self.key(field, 0).varint(value) }
    }

    /// Adds a double.
    pub fn double(self, field: u32, value: f64) -> Self {
        if value == 0.0 { self } else { self.key(field, 1).raw(&value.to_le_bytes()) }
    }

    /// Adds a float that is one of several possible fields, so that 0 is written too.
    pub fn one_float(self, field: u32, value: f32) -> Self {
        self.key(field, 5).raw(&value.to_le_bytes())
    }

    /// Adds bytes or a text.
    pub fn bytes(self, field: u32, value: &[u8]) -> Self {
        self.key(field, 2).varint(value.len() as u64).raw(value)
    }

    /// Adds a message.
    pub fn message(self, field: u32, value: Self) -> Self {
        self.bytes(field, &value.bytes)
    }

    /// The message as it is stored.
    pub fn encoded(self) -> Vec<u8> {
        self.bytes
    }

    fn key(self, field: u32, kind: u64) -> Self {
        self.varint(u64::from(field) << 3 | kind)
    }

    fn varint(mut self, mut value: u64) -> Self {
        while value > 0x7f {
            self.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
        self
    }

    fn raw(mut self, bytes: &[u8]) -> Self {
        self.bytes.extend_from_slice(bytes);
        self
    }
}

/// What a field holds; its message says what that means.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Field<'a> {
    /// int64 and the like.
    Integer(u64),
    /// double and the like.
    Eight([u8; 8]),
    /// float and the like.
    Four([u8; 4]),
    /// bytes, a text or a message.
    Bytes(&'a [u8]),
}

/// The fields of a message in their order, with their numbers; none where it is malformed.
pub fn fields(mut bytes: &[u8]) -> Option<Vec<(u64, Field<'_>)>> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes)?;
        let field = match key & 7 {
            0 => Field::Integer(varint(&mut bytes)?),
            1 => Field::Eight(*split(&mut bytes, 8)?.first_chunk()?),
            2 => {
                let length = usize::try_from(varint(&mut bytes)?).ok()?;
                Field::Bytes(split(&mut bytes, length)?)
            }
            5 => Field::Four(*split(&mut bytes, 4)?.first_chunk()?),
            _ => return None,
        };
        found.push((key >> 3, field));
    }
    Some(found)
}

fn split<'a>(bytes: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (start, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(start)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let [byte] = *split(bytes, 1)? else { return None };
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_as_it_was_written() {
        let inner = Message::default().integer(1, 300);
        let message = Message::default()
            .double(1, 0.5)
            .integer(2, u64::MAX)
            .integer(3, 0)
            .one_float(4, 0.0)
            .bytes(16, b"text")
            .message(17, inner);
        let bytes = message.encoded();
        let expected = [
            (1, Field::Eight(0.5f64.to_le_bytes())),
            (2, Field::Integer(u64::MAX)),
            (4, Field::Four([0; 4])),
            (16, Field::Bytes(b"text")),
            (17, Field::Bytes(&[0x08, 0xac, 0x02])),
        ];
        assert_eq!(fields(&bytes).unwrap(), expected);
        for length in 0..bytes.len() {
            let cut = fields(&bytes[..length]);
            assert!(cut.is_none_or(|fields| fields.len() < expected.len()), "{length} bytes");
        }
    }

    #[test]
    fn lengths_and_numbers_that_cannot_be_are_malformed() {
        for bytes in [
            &b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f"[..],
            b"\x08\xff",
            b"\x0b",
            b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        ] {
            assert_eq!(fields(bytes), None, "{bytes:?}");
        }
    }
}
