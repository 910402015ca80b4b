//! Values of pixels, of 8 or of 16 bits.

use image::Primitive;

/// How many bits the values of pixels have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    /// 0 is black, 255 is white.
    Eight,
    /// 0 is black, 65535 is white.
    Sixteen,
}

impl Depth {
    /// Bytes of a value: 1 or 2.
    pub fn bytes(self) -> usize {
        match self {
            Self::Eight => 1,
            Self::Sixteen => 2,
        }
    }

    /// The value of white: 255 or 65535.
    pub fn white(self) -> u32 {
        match self {
            Self::Eight => u8::WHITE,
            Self::Sixteen => u16::WHITE,
        }
    }
}

/// Values of pixels, all of one depth. 8 bits become 16 by a factor of 257, so that white stays white.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Pixels {
    Eight(Vec<u8>),
    Sixteen(Vec<u16>),
}

/// Some of [`Pixels`]. 8 bits can be compared with bytes: `dataset.pixels(0) == [0, 255]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum PixelSlice<'a> {
    Eight(&'a [u8]),
    Sixteen(&'a [u16]),
}

impl From<Vec<u8>> for Pixels {
    fn from(values: Vec<u8>) -> Self {
        Self::Eight(values)
    }
}

impl From<Vec<u16>> for Pixels {
    fn from(values: Vec<u16>) -> Self {
        Self::Sixteen(values)
    }
}

impl<T: AsRef<[u8]>> PartialEq<T> for PixelSlice<'_> {
    fn eq(&self, bytes: &T) -> bool {
        self.bytes() == Some(bytes.as_ref())
    }
}

impl Pixels {
    /// Their depth.
    pub fn depth(&self) -> Depth {
        self.as_slice().depth()
    }

    /// The number of values.
    pub fn len(&self) -> usize {
        self.as_slice().len()
    }

    /// Whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of them.
    pub fn as_slice(&self) -> PixelSlice<'_> {
        match self {
            Self::Eight(values) => PixelSlice::Eight(values),
            Self::Sixteen(values) => PixelSlice::Sixteen(values),
        }
    }

    /// The values `start..end`. Panics where there are none.
    pub(crate) fn part(&self, start: usize, end: usize) -> PixelSlice<'_> {
        match self {
            Self::Eight(values) => PixelSlice::Eight(&values[start..end]),
            Self::Sixteen(values) => PixelSlice::Sixteen(&values[start..end]),
        }
    }

    /// None yet, with memory for `count` values; `None` where there is no such memory.
    pub(crate) fn reserved(depth: Depth, count: usize) -> Option<Self> {
        let mut pixels = match depth {
            Depth::Eight => Self::Eight(Vec::new()),
            Depth::Sixteen => Self::Sixteen(Vec::new()),
        };
        match &mut pixels {
            Self::Eight(values) => values.try_reserve_exact(count).ok()?,
            Self::Sixteen(values) => values.try_reserve_exact(count).ok()?,
        }
        Some(pixels)
    }

    /// Appends values. Bytes may go to 16 bits; the other way around all become 16 bits.
    pub(crate) fn append(&mut self, more: PixelSlice) {
        match (&mut *self, more) {
            (Self::Eight(values), PixelSlice::Eight(more)) => values.extend_from_slice(more),
            (Self::Sixteen(values), PixelSlice::Sixteen(more)) => values.extend_from_slice(more),
            (Self::Sixteen(values), PixelSlice::Eight(more)) => {
                values.extend(more.iter().map(|&v| widened(v)))
            }
            (Self::Eight(values), PixelSlice::Sixteen(more)) => {
                let mut wide: Vec<u16> = std::mem::take(values).into_iter().map(widened).collect();
                wide.extend_from_slice(more);
                *self = Self::Sixteen(wide);
            }
        }
    }

    /// The same of at least this depth.
    pub(crate) fn deepened(self, depth: Depth) -> Self {
        match (self, depth) {
            (Self::Eight(values), Depth::Sixteen) => Self::Sixteen(values.into_iter().map(widened).collect()),
            (pixels, _) => pixels,
        }
    }

    /// Rounded to the nearest of 8 bits.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        match self {
            Self::Eight(values) => values,
            Self::Sixteen(values) => values.into_iter().map(|v| ((u32::from(v) + 128) / 257) as u8).collect(),
        }
    }
}

impl<'a> PixelSlice<'a> {
    /// Their depth.
    pub fn depth(self) -> Depth {
        match self {
            Self::Eight(_) => Depth::Eight,
            Self::Sixteen(_) => Depth::Sixteen,
        }
    }

    /// The number of values.
    pub fn len(self) -> usize {
        match self {
            Self::Eight(values) => values.len(),
            Self::Sixteen(values) => values.len(),
        }
    }

    /// Whether there is no value.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The values, if they are of 8 bits.
    pub fn bytes(self) -> Option<&'a [u8]> {
        match self {
            Self::Eight(values) => Some(values),
            Self::Sixteen(_) => None,
        }
    }

    /// Writes them to `out` in [-1, 1]: `v / 127.5 - 1` for 8 bits, `v / 32767.5 - 1` for 16.
    ///
    /// # Panics
    /// Unless `out` is as long.
    pub fn to_unit(self, out: &mut [f32]) {
        assert_eq!(out.len(), self.len(), "PixelSlice::to_unit: as many values as pixels");
        match self {
            Self::Eight(values) => {
                out.iter_mut().zip(values).for_each(|(out, &v)| *out = f32::from(v) / 127.5 - 1.0)
            }
            Self::Sixteen(values) => {
                out.iter_mut().zip(values).for_each(|(out, &v)| *out = f32::from(v) / 32767.5 - 1.0)
            }
        }
    }

    /// As shares of white, in [0, 1].
    pub fn shares(self) -> Vec<f32> {
        match self {
            Self::Eight(values) => values.iter().map(|&v| f32::from(v) / 255.0).collect(),
            Self::Sixteen(values) => values.iter().map(|&v| f32::from(v) / 65535.0).collect(),
        }
    }

    /// The least and the greatest value, in units of this depth; nothing where there is none.
    pub(crate) fn range(self, depth: Depth) -> Option<(u32, u32)> {
        let (low, high) = match self {
            Self::Eight(values) => ends(values)?,
            Self::Sixteen(values) => ends(values)?,
        };
        let factor = depth.white() / self.depth().white();
        Some((low * factor, high * factor))
    }

    /// Whether all of each `count` values are alike.
    pub(crate) fn is_flat(self, count: usize) -> bool {
        fn flat<T: Sample>(values: &[T], count: usize) -> bool {
            values.chunks_exact(count).all(|values| values.iter().all(|&value| value == values[0]))
        }
        match self {
            Self::Eight(values) => flat(values, count),
            Self::Sixteen(values) => flat(values, count),
        }
    }
}

/// A value of a pixel.
pub(crate) trait Sample: Primitive + Into<u32> + Ord {
    /// That of white.
    const WHITE: u32;

    /// Of a number of at most [`Sample::WHITE`].
    fn of(value: u32) -> Self;
}

impl Sample for u8 {
    const WHITE: u32 = u8::MAX as u32;

    fn of(value: u32) -> Self {
        value as u8
    }
}

impl Sample for u16 {
    const WHITE: u32 = u16::MAX as u32;

    fn of(value: u32) -> Self {
        value as u16
    }
}

/// Does the same with values of either depth.
macro_rules! either_depth {
    ($pixels:expr, $values:ident => $work:expr) => {
        match $pixels {
            $crate::pixels::Pixels::Eight($values) => $crate::pixels::Pixels::Eight($work),
            $crate::pixels::Pixels::Sixteen($values) => $crate::pixels::Pixels::Sixteen($work),
        }
    };
}
pub(crate) use either_depth;

fn widened(value: u8) -> u16 {
    u16::from(value) * 257
}

fn ends<T: Sample>(values: &[T]) -> Option<(u32, u32)> {
    Some(((*values.iter().min()?).into(), (*values.iter().max()?).into()))
}
