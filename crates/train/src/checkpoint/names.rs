//! The names of checkpoints, and the prefixes of these names.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

const PREFIX: &str = "step-";
/// The prefix of a checkpoint that is not whole yet.
pub(crate) const SAVING: &str = ".saving-";
/// The prefix of a checkpoint that waits for the new one of its step.
pub(crate) const OLD: &str = ".old-";
/// The prefix of a checkpoint that is being removed.
pub(crate) const GONE: &str = ".gone-";
/// The prefix of a checkpoint that a resume from an older one left behind.
pub(crate) const ASIDE: &str = "aside-";

/// The folder of the checkpoint of this step.
pub fn folder(parent: &Path, step: u64) -> PathBuf {
    parent.join(format!("{PREFIX}{step:06}"))
}

/// The step in a checkpoint's name, such as 123 for "step-000123"; none for any other name.
pub fn step_of(path: &Path) -> Option<u64> {
    step_behind(path, "")
}

/// The step in a name of the form `prefix`step-N.
pub(crate) fn step_behind(path: &Path, prefix: &str) -> Option<u64> {
    let digits = path.file_name()?.to_str()?.strip_prefix(prefix)?.strip_prefix(PREFIX)?;
    // `parse` accepts a sign, but a name must not have one.
    if digits.bytes().all(|byte| byte.is_ascii_digit()) { digits.parse().ok() } else { None }
}

/// The path with a prefix before its name.
pub(crate) fn beside(path: &Path, prefix: &str) -> PathBuf {
    let mut name = OsString::from(prefix);
    name.push(path.file_name().unwrap_or_default());
    path.with_file_name(name)
}

/// The path with a suffix after its name.
pub(crate) fn followed(path: &Path, by: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(by);
    path.with_file_name(name)
}

/// Whether a name exists; a link without a target counts too.
pub(crate) fn is_there(path: &Path) -> bool {
    !matches!(std::fs::symlink_metadata(path), Err(error) if error.kind() == ErrorKind::NotFound)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_step_says_the_step_and_no_other_name_does() {
        for step in [0, 7, 123_456, 1_234_567, u64::MAX] {
            assert_eq!(step_of(&folder(Path::new("run/checkpoints"), step)), Some(step));
        }
        let others = [
            "step-",
            "step-+5",
            "step--5",
            "step-5.png",
            "aside-step-000005",
            "000005",
            "/",
            "step-000005/..",
        ];
        for other in others {
            assert_eq!(step_of(Path::new(other)), None, "{other}");
        }
    }
}
