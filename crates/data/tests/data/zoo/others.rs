//! Files that are neither PNG nor JPEG, although their names say so.

use duet_data::Picture;

use super::{Odd, refused};

pub fn all() -> Vec<Odd> {
    let html = b"<!DOCTYPE html><html><body>404 Not Found</body></html>";
    let svg = b"<svg xmlns='http://www.w3.org/2000/svg' width='1' height='1'/>";
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n";
    let named = |name, start: &[u8], reason| refused(name, [start, &[0; 40]].concat(), reason);
    vec![
        refused("empty.png", Vec::new(), "the file is empty"),
        refused("empty.jpg", Vec::new(), "the file is empty"),
        refused("zeros.png", vec![0; 4096], "neither a PNG nor a JPEG"),
        refused("html.png", html.to_vec(), "neither a PNG nor a JPEG"),
        refused("svg.png", svg.to_vec(), "neither a PNG nor a JPEG"),
        refused("text.jpg", b"not an image\n".to_vec(), "neither a PNG nor a JPEG"),
        refused("git-lfs-pointer.png", pointer.to_vec(), "neither a PNG nor a JPEG"),
        named("gif.png", b"GIF89a\x01\0\x01\0", "but GIF, convert"),
        named("bmp.png", b"BM\x36\0\0\0", "but BMP, convert"),
        named("webp.jpg", b"RIFF\x20\0\0\0WEBPVP8 ", "but WebP, convert"),
        named("tiff-little.png", b"II*\0\x08\0\0\0", "but TIFF, convert"),
        named("tiff-big.png", b"MM\0*\0\0\0\x08", "but TIFF, convert"),
        named("heic.jpg", b"\0\0\0\x18ftypheic", "but HEIC or AVIF, convert"),
        refused("png-named.gif", png(), "gif is not read, convert it to PNG"),
        refused("png-named.webp", png(), "webp is not read, convert it to PNG"),
    ]
}

fn png() -> Vec<u8> {
    Picture::new(1, 1, 1, vec![7]).unwrap().encode_png()
}
