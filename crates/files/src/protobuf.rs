//! Messages in the wire format of Protocol Buffers, as far as ONNX files and event files need it: each field is a tag and a
//! value.

/// The bytes of a message, field by field.
#[derive(Debug, Clone, Default)]
pub struct Message(Vec<u8>);

/// How a field's value is written.
const VARINT: u64 = 0;
const FIXED_64: u64 = 1;
const LENGTH_DELIMITED: u64 = 2;
const FIXED_32: u64 = 5;

impl Message {
    /// A message without a field.
    pub fn new() -> Self {
        Self::default()
    }

    /// The number of bytes so far.
    #[expect(clippy::len_without_is_empty, reason = "whether it is empty tells nothing")]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The message as it is stored.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// Adds an integer or a value of an enumeration, 0 too.
    pub fn int(mut self, field: u64, value: i64) -> Self {
        self.tag(field, VARINT);
        // A negative number is written as its two's complement.
        self.varint(value as u64);
        self
    }

    /// Adds an integer unless it is 0, as version 3 of the language does.
    pub fn int_but_0(self, field: u64, value: u64) -> Self {
        if value == 0 { self } else { self.int(field, value as i64) }
    }

    /// Adds a repeated integer: the field once for each.
    pub fn ints(self, field: u64, values: impl IntoIterator<Item = i64>) -> Self {
        values.into_iter().fold(self, |message, value| message.int(field, value))
    }

    /// Adds a float, 0 too.
    pub fn float(mut self, field: u64, value: f32) -> Self {
        self.tag(field, FIXED_32);
        self.0.extend(value.to_le_bytes());
        self
    }

    /// Adds a double unless it is 0.
    pub fn double_but_0(mut self, field: u64, value: f64) -> Self {
        if value != 0.0 {
            self.tag(field, FIXED_64);
            self.0.extend(value.to_le_bytes());
        }
        self
    }

    /// Adds bytes.
    pub fn bytes(mut self, field: u64, value: &[u8]) -> Self {
        self.tag(field, LENGTH_DELIMITED);
        self.varint(value.len() as u64);
        self.0.extend(value);
        self
    }

    /// Adds a text.
    pub fn text(self, field: u64, value: &str) -> Self {
        self.bytes(field, value.as_bytes())
    }

    /// Adds a message.
    pub fn message(self, field: u64, value: &Self) -> Self {
        self.bytes(field, &value.0)
    }

    fn tag(&mut self, field: u64, kind: u64) {
        self.varint(field << 3 | kind);
    }

    /// Seven bits a byte, the lowest first. The highest bit of a byte says that more follow.
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
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
            VARINT => Field::Integer(varint(&mut bytes)?),
            FIXED_64 => Field::Eight(*split(&mut bytes, 8)?.first_chunk()?),
            LENGTH_DELIMITED => {
                let length = usize::try_from(varint(&mut bytes)?).ok()?;
                Field::Bytes(split(&mut bytes, length)?)
            }
            FIXED_32 => Field::Four(*split(&mut bytes, 4)?.first_chunk()?),
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

    /// The examples of the specification of the wire format, and a negative number.
    #[test]
    fn fields_have_the_bytes_of_the_specification() {
        let bytes = |message: Message| message.into_bytes();
        assert_eq!(bytes(Message::new().int(1, 150)), [0x08, 0x96, 0x01]);
        assert_eq!(bytes(Message::new().text(2, "testing")), *b"\x12\x07testing");
        let inner = Message::new().int(1, 150);
        assert_eq!(bytes(Message::new().message(3, &inner)), [0x1a, 0x03, 0x08, 0x96, 0x01]);
        assert_eq!(bytes(Message::new().float(2, 1.0)), [0x15, 0, 0, 0x80, 0x3f]);
        let minus_one = [vec![0x80, 0x01], vec![0xff; 9], vec![0x01]].concat();
        assert_eq!(bytes(Message::new().ints(16, [-1])), minus_one);
    }

    #[test]
    fn a_message_is_read_as_it_was_written() {
        let inner = Message::new().int(1, 300);
        let message = Message::new()
            .double_but_0(1, 0.5)
            .int(2, -1)
            .int_but_0(3, 0)
            .float(4, 0.0)
            .bytes(16, b"text")
            .message(17, &inner);
        let bytes = message.into_bytes();
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
