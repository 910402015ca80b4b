//! JPEG files byte for byte: every 8x8 block is of one value, so that what a right decoder gives is
//! known without a transform.

/// A component: how often it is sampled, and one value for each of its blocks, row by row, of whole
/// minimum coded units.
#[derive(Clone)]
pub struct Component {
    pub h: u8,
    pub v: u8,
    pub blocks: Vec<u8>,
}

/// What to write.
#[derive(Clone)]
pub struct Jpeg {
    /// The frame's marker: 0xc0 baseline, 0xc2 progressive.
    pub frame: u8,
    pub precision: u8,
    pub width: u16,
    pub height: u16,
    pub components: Vec<Component>,
    /// Segments behind the start marker.
    pub segments: Vec<Vec<u8>>,
    /// Minimum coded units between restart markers, 0 for none.
    pub restart: usize,
}

/// A grey image of one value a block.
pub fn grey(width: u16, height: u16, blocks: &[u8]) -> Jpeg {
    colour(width, height, &[(1, 1, blocks)])
}

/// An image of components of (h, v, blocks).
pub fn colour(width: u16, height: u16, components: &[(u8, u8, &[u8])]) -> Jpeg {
    let component = |&(h, v, blocks): &(u8, u8, &[u8])| Component { h, v, blocks: blocks.to_vec() };
    Jpeg {
        frame: 0xc0,
        precision: 8,
        width,
        height,
        components: components.iter().map(component).collect(),
        segments: Vec::new(),
        restart: 0,
    }
}

/// Marker, length, data.
pub fn segment(marker: u8, data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0xff, marker];
    bytes.extend((data.len() as u16 + 2).to_be_bytes());
    bytes.extend(data);
    bytes
}

/// Adobe's segment, which tells how components are to be understood.
pub fn adobe(transform: u8) -> Vec<u8> {
    segment(0xee, &[b"Adobe\0\x64\0\0\0\0".as_slice(), &[transform]].concat())
}

/// EXIF data with one entry, the orientation.
pub fn exif(orientation: u8) -> Vec<u8> {
    let mut bytes = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    bytes.extend([orientation, 0, 0, 0, 0, 0, 0]);
    bytes
}

/// The same as a JPEG segment.
pub fn exif_segment(orientation: u8) -> Vec<u8> {
    segment(0xe1, &[b"Exif\0\0".as_slice(), &exif(orientation)].concat())
}

impl Jpeg {
    pub fn bytes(&self) -> Vec<u8> {
        let count = self.components.len() as u8;
        let mut bytes = vec![0xff, 0xd8];
        bytes.extend(self.segments.concat());
        // All 8: the DC coefficient is then the value minus 128.
        bytes.extend(segment(0xdb, &[vec![0], vec![8; 64]].concat()));
        let mut frame = vec![self.precision];
        frame.extend(self.height.to_be_bytes());
        frame.extend(self.width.to_be_bytes());
        frame.push(count);
        for (i, c) in self.components.iter().enumerate() {
            frame.extend([i as u8 + 1, c.h << 4 | c.v, 0]);
        }
        bytes.extend(segment(self.frame, &frame));
        // DC: twelve codes of four bits. AC: one code of one bit, the end of a block.
        let dc = [vec![0, 0, 0, 0, 12], vec![0; 12], (0..12).collect()].concat();
        bytes.extend(segment(0xc4, &dc));
        bytes.extend(segment(0xc4, &[vec![0x10, 1], vec![0; 15], vec![0]].concat()));
        if self.restart > 0 {
            bytes.extend(segment(0xdd, &(self.restart as u16).to_be_bytes()));
        }
        let all: Vec<usize> = (0..self.components.len()).collect();
        if self.frame == 0xc2 {
            bytes.extend(self.scan(&all, [0, 0]));
            for component in all {
                bytes.extend(self.scan(&[component], [1, 63]));
            }
        } else {
            bytes.extend(self.scan(&all, [0, 63]));
        }
        bytes.extend([0xff, 0xd9]);
        bytes
    }

    fn scan(&self, components: &[usize], [first, last]: [u8; 2]) -> Vec<u8> {
        let mut header = vec![components.len() as u8];
        for &i in components {
            header.extend([i as u8 + 1, 0]);
        }
        header.extend([first, last, 0]);
        let mut bytes = segment(0xda, &header);
        let mut bits = Bits::default();
        let mut before = [0_i32; 4];
        for (unit, blocks) in self.units(components).into_iter().enumerate() {
            if self.restart > 0 && unit > 0 && unit % self.restart == 0 {
                bits.restart((unit / self.restart - 1) as u8 % 8);
                before = [0; 4];
            }
            for (component, block) in blocks {
                if first == 0 {
                    let value = i32::from(self.components[component].blocks[block]) - 128;
                    bits.put_difference(value - before[component]);
                    before[component] = value;
                }
                if last > 0 {
                    bits.put(0, 1);
                }
            }
        }
        bytes.extend(bits.finish());
        bytes
    }

    /// The (component, block) pairs of each minimum coded unit of a scan.
    fn units(&self, components: &[usize]) -> Vec<Vec<(usize, usize)>> {
        let most =
            |side: fn(&Component) -> u8| usize::from(self.components.iter().map(side).max().unwrap_or(1));
        let (most_h, most_v) = (most(|c| c.h), most(|c| c.v));
        let (width, height) = (usize::from(self.width), usize::from(self.height));
        let (across, down) = (width.div_ceil(8 * most_h), height.div_ceil(8 * most_v));
        if let &[only] = components {
            // A scan of one component leaves out the blocks that fill up units.
            let (h, v) = (usize::from(self.components[only].h), usize::from(self.components[only].v));
            let own_across = (width * h).div_ceil(most_h).div_ceil(8);
            let own_down = (height * v).div_ceil(most_v).div_ceil(8);
            let row = move |y: usize| (0..own_across).map(move |x| vec![(only, y * across * h + x)]);
            return (0..own_down).flat_map(row).collect();
        }
        let mut units = Vec::new();
        for (y, x) in (0..down).flat_map(|y| (0..across).map(move |x| (y, x))) {
            let mut unit = Vec::new();
            for &component in components {
                let (h, v) =
                    (usize::from(self.components[component].h), usize::from(self.components[component].v));
                for (dy, dx) in (0..v).flat_map(|dy| (0..h).map(move |dx| (dy, dx))) {
                    unit.push((component, (y * v + dy) * across * h + x * h + dx));
                }
            }
            units.push(unit);
        }
        units
    }
}

#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    pending: u32,
    count: u32,
}

impl Bits {
    fn put(&mut self, value: u32, count: u32) {
        for i in (0..count).rev() {
            self.pending = self.pending << 1 | (value >> i & 1);
            self.count += 1;
            if self.count == 8 {
                let byte = self.pending as u8;
                self.bytes.push(byte);
                if byte == 0xff {
                    self.bytes.push(0);
                }
                (self.pending, self.count) = (0, 0);
            }
        }
    }

    /// The number of bits of a difference as its code, then those bits.
    fn put_difference(&mut self, difference: i32) {
        let size = 32 - difference.unsigned_abs().leading_zeros();
        self.put(size, 4);
        let bits = if difference < 0 { difference - 1 } else { difference };
        self.put(bits as u32, size);
    }

    fn fill(&mut self) {
        while self.count > 0 {
            self.put(1, 1);
        }
    }

    fn restart(&mut self, number: u8) {
        self.fill();
        self.bytes.extend([0xff, 0xd0 + number]);
    }

    fn finish(mut self) -> Vec<u8> {
        self.fill();
        self.bytes
    }
}
