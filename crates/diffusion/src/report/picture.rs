//! A picture that a page holds.

use super::html::{data_uri, escape};

/// A picture that the page holds.
pub struct Shown {
    png: Vec<u8>,
    pub(super) width: u32,
    pub(super) height: u32,
}

impl Shown {
    /// Of a whole PNG file.
    pub fn new(png: Vec<u8>) -> Option<Self> {
        let header = png.strip_prefix(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR")?;
        let number = |at: usize| Some(u32::from_be_bytes(header.get(at..at + 4)?.try_into().ok()?));
        let (width, height) = (number(0)?, number(4)?);
        let whole = png.len() > 12 && png[..png.len() - 4].ends_with(b"IEND");
        (width > 0 && height > 0 && whole).then_some(Self { png, width, height })
    }

    /// Enlarged by a whole number up to `largest` pixels.
    pub fn html(&self, alt: &str, largest: u32) -> String {
        let zoom = (largest / self.width.max(self.height)).max(1);
        format!(
            "<img alt=\"{}\" width=\"{}\" height=\"{}\" src=\"{}\">",
            escape(alt),
            self.width.saturating_mul(zoom),
            self.height.saturating_mul(zoom),
            data_uri(&self.png)
        )
    }

    /// With a line below.
    pub fn figure(&self, caption: &str) -> String {
        format!("<figure>{}<figcaption>{}</figcaption></figure>\n", self.html(caption, 0), escape(caption))
    }
}
