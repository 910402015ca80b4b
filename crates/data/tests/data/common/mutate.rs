//! Seeded damage to small files: the same on every machine.

/// SplitMix64: small, and as good as needed here.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `n`, and 0 for 0.
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    fn byte(&mut self) -> u8 {
        match self.below(3) {
            0 => 0,
            1 => 0xff,
            _ => self.next() as u8,
        }
    }

    /// A range of `len` things, 64 of them at most.
    fn range(&mut self, len: usize) -> std::ops::Range<usize> {
        let start = self.below(len);
        let end = start + 1 + self.below((len - start.min(len)).min(64));
        start..end.min(len)
    }
}

/// A big-endian integer in a header: where it starts, and its bytes.
pub type Field = (usize, usize);

/// The sample after one to four changes, 256 bytes longer at most. Half of all extreme integers go
/// to `fields`, the rest anywhere.
pub fn mutate(random: &mut Random, sample: &[u8], fields: &[Field]) -> Vec<u8> {
    let mut bytes = sample.to_vec();
    for _ in 0..1 + random.below(4) {
        change(random, &mut bytes, fields);
    }
    bytes.truncate(sample.len() + 256);
    bytes
}

fn change(random: &mut Random, bytes: &mut Vec<u8>, fields: &[Field]) {
    let at = random.below(bytes.len());
    match random.below(9) {
        0 | 1 => put_extreme_integer(random, bytes, fields),
        2 => bytes.truncate(at),
        3 => {
            let more = random.below(64);
            let value = random.byte();
            bytes.extend((0..more).map(|_| value));
        }
        _ if bytes.is_empty() => bytes.push(random.byte()),
        4 => bytes[at] ^= 1 << random.below(8),
        5 => bytes[at] = random.byte(),
        6 => {
            let value = random.byte();
            let run = random.range(bytes.len());
            bytes[run].fill(value);
        }
        7 => {
            let copy = bytes[random.range(bytes.len())].to_vec();
            bytes.splice(at..at, copy);
        }
        _ => swap_ranges(random, bytes),
    }
}

fn put_extreme_integer(random: &mut Random, bytes: &mut [u8], fields: &[Field]) {
    let anywhere = (random.below(bytes.len()), [1, 2, 4][random.below(3)]);
    let (start, length) = match random.below(2) {
        0 if !fields.is_empty() => fields[random.below(fields.len())],
        _ => anywhere,
    };
    let values = [0, 1, 2, 0x7fff_ffff, 0x8000_0000, u32::MAX, u32::MAX - 1, 0x4000, 0xffff, 0x0100_0001];
    let value = match random.below(values.len() + 2) {
        i if i < values.len() => values[i],
        _ => random.next() as u32 >> random.below(32),
    };
    if let Some(field) = bytes.get_mut(start..start + length) {
        field.copy_from_slice(&value.to_be_bytes()[4 - length..]);
    }
}

fn swap_ranges(random: &mut Random, bytes: &mut Vec<u8>) {
    let first = random.range(bytes.len());
    let taken: Vec<u8> = bytes.drain(first).collect();
    let at = random.below(bytes.len() + 1);
    bytes.splice(at..at, taken);
}
