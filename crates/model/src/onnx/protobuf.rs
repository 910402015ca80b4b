//! Writes messages in the wire format of Protocol Buffers: each field is a tag and a value.

/// The bytes of a message, field by field.
#[derive(Debug, Clone, Default)]
pub(super) struct Message(Vec<u8>);

/// How a field's value is written.
const VARINT: u64 = 0;
const LENGTH_DELIMITED: u64 = 2;
const FIXED_32: u64 = 5;

impl Message {
    pub fn new() -> Self {
        Self::default()
    }

    /// The bytes so far.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// An integer or a value of an enumeration.
    pub fn int(mut self, field: u64, value: i64) -> Self {
        self.tag(field, VARINT);
        // A negative number is written as its two's complement.
        self.varint(value as u64);
        self
    }

    /// A repeated integer: the field once for each.
    pub fn ints(self, field: u64, values: impl IntoIterator<Item = i64>) -> Self {
        values.into_iter().fold(self, |message, value| message.int(field, value))
    }

    pub fn float(mut self, field: u64, value: f32) -> Self {
        self.tag(field, FIXED_32);
        self.0.extend(value.to_le_bytes());
        self
    }

    pub fn bytes(mut self, field: u64, value: &[u8]) -> Self {
        self.tag(field, LENGTH_DELIMITED);
        self.varint(value.len() as u64);
        self.0.extend(value);
        self
    }

    pub fn text(self, field: u64, value: &str) -> Self {
        self.bytes(field, value.as_bytes())
    }

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

#[cfg(test)]
mod tests {
    use super::Message;

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
}
