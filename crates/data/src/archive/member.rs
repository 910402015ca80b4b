//! The members of an archive: what is in it, and what their names may be.

use std::path::Path;
use std::sync::Arc;

use crate::encoded::Container;
use crate::error::{DataError, count, shown};

/// Most folders that a name may be deep.
const DEPTH: usize = 32;

/// A compressed archive of images is no smaller than this part of what it unpacks to.
const MOST_PACKED: u64 = 100;

/// Less than this may be packed as it likes.
const ALWAYS_UNPACKED: u64 = 64 << 20;

/// A file or a folder of an archive.
pub(crate) struct Member {
    /// Its name, with `/` between folders: no folder is empty, `.` or `..`.
    pub name: String,
    pub is_folder: bool,
    /// The number of bytes that it is said to have.
    pub bytes: u64,
}

/// All that an archive has. The container's index of an image is that in the list.
pub(crate) struct Members {
    pub list: Vec<Member>,
    pub container: Arc<dyn Container>,
    /// The bytes of members that stay in memory.
    pub held: u64,
    /// What was left out, one sentence for each kind.
    pub left_out: Vec<String>,
}

/// The name of a member inside the archive, without `.` and empty folders; empty for the archive itself.
///
/// # Errors
/// A name that leaves the archive or cannot be a file's.
pub(super) fn inside(path: &Path, name: &str) -> Result<String, DataError> {
    let refuse = |cause: &str| {
        let fix = "an archive like this is not to be trusted; make it anew from the images";
        Err(DataError::malformed(&path.join(name.trim_start_matches('/')), cause, fix))
    };
    let mut start = name.chars();
    let has_drive = start.next().is_some_and(|c| c.is_ascii_alphabetic()) && start.next() == Some(':');
    if name.starts_with('/') || has_drive {
        return refuse(&format!("the archive calls this member {name:?}, an absolute path"));
    }
    if name.contains('\0') {
        return refuse("the name of this member has a byte 0");
    }
    let parts: Vec<&str> = name.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    if parts.contains(&"..") {
        return refuse(&format!("the archive calls this member {name:?}, a path that leaves the archive"));
    }
    if parts.len() > DEPTH {
        return refuse(&format!("this member is more than {DEPTH} folders deep"));
    }
    Ok(parts.join("/"))
}

/// Refuses a member that is said to have more than `most` bytes, before any memory is taken for it.
pub(super) fn check_claim(path: &Path, name: &str, bytes: u64, most: u64) -> Result<(), DataError> {
    match bytes > most {
        true => Err(DataError::malformed(
            &path.join(name),
            format!("this member is said to have {bytes} bytes, and {most} are read of a data set"),
            "leave it out, or raise the limit with --max-gigabytes N (the max_bytes option)",
        )),
        false => Ok(()),
    }
}

/// Whether so many bytes from so few are no images, but made to fill memory.
pub(super) fn is_bomb(unpacked: u64, packed: u64) -> bool {
    unpacked > ALWAYS_UNPACKED && unpacked / MOST_PACKED > packed
}

/// What is wrong with a [bomb](is_bomb).
pub(super) fn bomb(unpacked: u64, packed: u64) -> String {
    format!("{packed} bytes unpack to {unpacked} or more: these are no images, but made to fill memory")
}

/// A sentence about members that are left out, if there are any.
pub(super) fn left_out(path: &Path, names: &[String], what: &str) -> Option<String> {
    let first = names.first()?;
    let members = count(names.len(), "member");
    let verb = if names.len() == 1 { "is" } else { "are" };
    Some(format!("{members} of {} {verb} left out, as {what}: {}", shown(path), shown(Path::new(first))))
}
