//! The size that images are resized to.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::error::DataError;

/// Longest side of an image.
pub(crate) const MAX_SIDE: u32 = 16_384;

/// Height and width of images, 1 to 16384 each.
///
/// As text it is `32` for a square and `24x40` for a rectangle, the height first. In a configuration a square
/// is a number and a rectangle such a text; both are read of squares.
///
/// ```
/// use duet_data::ImageSize;
/// let size: ImageSize = "24x40".parse()?;
/// assert_eq!((size.height(), size.width()), (24, 40));
/// assert_eq!(ImageSize::new(32, 32)?.to_string(), "32");
/// # Ok::<(), duet_data::DataError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageSize {
    height: usize,
    width: usize,
}

impl ImageSize {
    /// So many rows and columns.
    ///
    /// # Errors
    /// A side of 0 or above 16384.
    pub fn new(height: usize, width: usize) -> Result<Self, DataError> {
        let most = MAX_SIDE as usize;
        match [height, width].into_iter().find(|side| !(1..=most).contains(side)) {
            Some(side) => {
                Err(DataError::invalid(format!("a side of the image size is 1 to {most}, not {side}")))
            }
            None => Ok(Self { height, width }),
        }
    }

    /// As many rows as columns.
    ///
    /// # Errors
    /// As [`ImageSize::new`].
    pub fn square(side: usize) -> Result<Self, DataError> {
        Self::new(side, side)
    }

    /// Rows.
    pub fn height(self) -> usize {
        self.height
    }

    /// Columns.
    pub fn width(self) -> usize {
        self.width
    }
}

impl fmt::Display for ImageSize {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self.height == self.width {
            true => write!(f, "{}", self.height),
            false => write!(f, "{}x{}", self.height, self.width),
        }
    }
}

impl FromStr for ImageSize {
    type Err = DataError;

    fn from_str(text: &str) -> Result<Self, DataError> {
        let (height, width) = text.split_once(['x', '×']).unwrap_or((text, text));
        // A sign is no part of a side.
        let side = |text: &str| {
            text.parse::<usize>().ok().filter(|_| text.starts_with(|c: char| c.is_ascii_digit()))
        };
        match (side(height), side(width)) {
            (Some(height), Some(width)) => Self::new(height, width),
            _ => Err(DataError::invalid(
                "the image size is one number for a square, such as 32, or height x width, such as 24x40",
            )),
        }
    }
}

impl Serialize for ImageSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.height == self.width {
            true => serializer.serialize_u64(self.height as u64),
            false => serializer.collect_str(self),
        }
    }
}

impl<'de> Deserialize<'de> for ImageSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = ImageSize;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("an image size, such as 32 or \"24x40\"")
            }

            fn visit_i64<E: de::Error>(self, side: i64) -> Result<ImageSize, E> {
                let side = usize::try_from(side);
                side.map_or_else(
                    |_| Err(E::custom("an image size is not negative")),
                    |side| ImageSize::square(side).map_err(E::custom),
                )
            }

            fn visit_u64<E: de::Error>(self, side: u64) -> Result<ImageSize, E> {
                ImageSize::square(usize::try_from(side).unwrap_or(usize::MAX)).map_err(E::custom)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<ImageSize, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}
