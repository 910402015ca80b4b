//! Which archive a file is, by its first bytes.

use std::io::{self, Read};
use std::path::Path;

use flate2::read::GzDecoder;

/// Bytes of a file that are looked at. Some of a gzipped file are needed for the first block inside it.
const START: u64 = 1 << 16;
/// Bytes of a block of a tar archive, of which the first is a header.
pub(super) const BLOCK: usize = 512;

/// Endings of the names of archives, those that are not read too.
const NAMES: [&str; 17] = [
    ".zip",
    ".tar",
    ".tar.gz",
    ".tgz",
    ".7z",
    ".rar",
    ".tar.bz2",
    ".tbz",
    ".tbz2",
    ".tar.xz",
    ".txz",
    ".tar.zst",
    ".tzst",
    ".tar.lz4",
    ".tar.lzma",
    ".tar.z",
    ".cab",
];

/// An archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Zip,
    Tar,
    GzippedTar,
    /// One of another kind, with its name.
    NotRead(&'static str),
}

/// Whether a file of this name is expected to be an archive.
pub(crate) fn is_name(name: &str) -> bool {
    let name = name.to_lowercase();
    NAMES.iter().any(|ending| name.ends_with(ending))
}

/// Whether a file of this name is expected to be a tar archive.
pub(crate) fn is_tar_name(name: &str) -> bool {
    let name = name.to_lowercase();
    [".tar", ".tar.gz", ".tgz"].iter().any(|ending| name.ends_with(ending))
}

/// The name without the ending of an archive.
pub(crate) fn stem(name: &str) -> &str {
    let lower = name.to_lowercase();
    // Lower case may have another length in other scripts, and then only whole endings are cut.
    let ending = NAMES.iter().filter(|ending| lower.ends_with(**ending)).map(|ending| ending.len()).max();
    ending
        .and_then(|ending| name.get(..name.len().checked_sub(ending)?))
        .filter(|stem| !stem.is_empty())
        .unwrap_or(name)
}

/// What a file is, if it is an archive.
///
/// # Errors
/// What is no regular file, or may not be read.
pub(crate) fn of_file(path: &Path) -> io::Result<Option<Kind>> {
    let mut start = Vec::new();
    duet_files::open(path)?.take(START).read_to_end(&mut start)?;
    if duet_files::is_lfs_pointer(&start) {
        return Err(duet_files::lfs_pointer());
    }
    Ok(of_start(&start))
}

/// What bytes are the start of.
pub(super) fn of_start(start: &[u8]) -> Option<Kind> {
    match start {
        // The second begins one without members, the third one of several parts.
        [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] | [b'P', b'K', 7, 8, ..] => Some(Kind::Zip),
        [0x1f, 0x8b, ..] => {
            let mut block = Vec::new();
            // What cannot be unpacked is none, or cut behind its first block.
            let _ = GzDecoder::new(start).take(BLOCK as u64).read_to_end(&mut block);
            is_tar_block(&block).then_some(Kind::GzippedTar)
        }
        [b'7', b'z', 0xbc, 0xaf, 0x27, 0x1c, ..] => Some(Kind::NotRead("7z")),
        [b'R', b'a', b'r', b'!', 0x1a, 7, ..] => Some(Kind::NotRead("RAR")),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some(Kind::NotRead("XZ")),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Kind::NotRead("Zstandard")),
        [b'B', b'Z', b'h', b'1'..=b'9', ..] => Some(Kind::NotRead("bzip2")),
        [0x04, 0x22, 0x4d, 0x18, ..] => Some(Kind::NotRead("LZ4")),
        [b'M', b'S', b'C', b'F', 0, ..] => Some(Kind::NotRead("CAB")),
        _ => is_tar_block(start).then_some(Kind::Tar),
    }
}

/// Whether a block is the header of a member, by its checksum, or the end of an archive without members.
fn is_tar_block(start: &[u8]) -> bool {
    let Some(block) = start.get(..BLOCK) else { return false };
    if block.iter().all(|&byte| byte == 0) {
        return true;
    }
    let mut header = tar::Header::new_old();
    header.as_mut_bytes().copy_from_slice(block);
    // The checksum's own bytes count as spaces.
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    let own: u32 = block[148..156].iter().map(|&byte| u32::from(byte)).sum();
    header.cksum().is_ok_and(|said| said == sum - own + 8 * u32::from(b' '))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lose_the_whole_ending_of_an_archive() {
        for (name, expected) in [
            ("a.zip", "a"),
            ("a.b.TAR.GZ", "a.b"),
            ("x.tgz", "x"),
            (".zip", ".zip"),
            ("a.png", "a.png"),
            ("İ.zip", "İ"),
        ] {
            assert_eq!(stem(name), expected);
        }
    }

    #[test]
    fn random_bytes_are_no_tar_archive() {
        assert_eq!(of_start(&[7; 600]), None);
        assert_eq!(of_start(&[0; 511]), None);
        assert_eq!(of_start(&[0; 512]), Some(Kind::Tar));
        assert_eq!(of_start(b"\x1f\x8b\x08"), None);
    }
}
