//! Files that are no images, or of formats that are not read, although their names say otherwise.

use duet_data::Picture;

use super::{Odd, reads, refused};

pub fn all() -> Vec<Odd> {
    let html = b"<!DOCTYPE html><html><body>404 Not Found</body></html>";
    let svg = b"<svg xmlns='http://www.w3.org/2000/svg' width='1' height='1'/>";
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n";
    let named = |name, start: &[u8], reason| refused(name, [start, &[0; 40]].concat(), reason);
    vec![
        refused("empty.png", Vec::new(), "the file is empty"),
        refused("empty.jpg", Vec::new(), "the file is empty"),
        refused("zeros.png", vec![0; 4096], "no PNG, JPEG"),
        refused("html.png", html.to_vec(), "no PNG, JPEG"),
        refused("svg.png", svg.to_vec(), "no PNG, JPEG"),
        refused("text.jpg", b"not an image\n".to_vec(), "no PNG, JPEG"),
        refused("git-lfs-pointer.png", pointer.to_vec(), "no PNG, JPEG"),
        named("gif.png", b"GIF89a\x01\0\x01\0", "Gif"),
        named("bmp.png", b"BM\x36\0\0\0", "Bmp"),
        named("webp.jpg", b"RIFF\x20\0\0\0WEBPVP8 ", "WebP"),
        named("webp-cut.jpg", b"RIFF\x50\0\0\0WEBPVP8 ", "the WebP data is cut short"),
        named("tiff-little.png", b"II*\0\x08\0\0\0", "TIFF"),
        named("tiff-big.png", b"MM\0*\0\0\0\x08", "TIFF"),
        named("psd.png", b"8BPS\0\x01", "but PSD, convert"),
        named("qoi.png", b"qoif\0\0", "but QOI, convert"),
        named("pgm.png", b"P5 1 1 255\n", "PGM"),
        named("heic.jpg", b"\0\0\0\x18ftypheic", "but HEIC or AVIF, convert"),
        refused("png-named.heic", png(), "heic is not read, convert it to PNG"),
        refused("png-named.psd", png(), "psd is not read, convert it to PNG"),
        reads("png-named.gif", png(), [1, 1, 1], &[7]),
        reads("png-named.webp", png(), [1, 1, 1], &[7]),
    ]
}

fn png() -> Vec<u8> {
    Picture::new(1, 1, 1, vec![7]).unwrap().encode_png()
}
