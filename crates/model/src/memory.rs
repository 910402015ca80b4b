//! What a network takes of memory, and checks that something fits into it before it is allocated.

use crate::error::ModelError;

/// What training trades for memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Memory {
    /// The weights are kept in the forms that the kernels compute with, which take about eight times the weights' memory.
    #[default]
    Normal,
    /// These forms are made anew for each use. A step takes longer, and its results are the same.
    Low,
}

/// The assumed memory if the system does not tell it.
const ASSUMED: u64 = 1 << 40;

/// The number of bytes that this process may still allocate: the least of the system's free memory, the
/// container's limit and the process's own limit. If none of them is known, it is 1 TiB.
pub fn available_memory() -> u64 {
    let read = |path: &str| duet_files::read_text(path.as_ref(), 1 << 16).unwrap_or_default();
    let free = kibibytes(&read("/proc/meminfo"), "MemAvailable:");
    let container = read("/sys/fs/cgroup/memory.max").trim().parse().ok();
    let process = address_space(&read("/proc/self/limits"));
    let taken = kibibytes(&read("/proc/self/status"), "VmSize:").unwrap_or(0);
    let process = process.map(|limit| limit.saturating_sub(taken));
    [free, container, process].into_iter().flatten().min().unwrap_or(ASSUMED)
}

/// The number of bytes that this process has in memory now; 0 where the system does not tell.
pub fn resident_memory() -> u64 {
    let status = duet_files::read_text("/proc/self/status".as_ref(), 1 << 16).unwrap_or_default();
    kibibytes(&status, "VmRSS:").unwrap_or(0)
}

/// Checks that `bytes` of memory are available. `bytes` is none if the number is too large to count.
/// Errors: too little memory; the message names `what` needs it.
pub fn check_memory(what: &str, bytes: Option<u64>) -> Result<(), ModelError> {
    let available = available_memory();
    let gibibytes = |bytes: u64| format!("{:.1} GiB", bytes as f64 / (1u64 << 30) as f64);
    let needed = match bytes {
        Some(bytes) if bytes <= available => return Ok(()),
        Some(bytes) => gibibytes(bytes),
        None => "more memory than can be counted".into(),
    };
    let available = gibibytes(available);
    Err(ModelError::Input(format!("{what} takes at least {needed}, and {available} of memory is free")))
}

/// The number in a line such as "MemAvailable: 123 kB", in bytes.
fn kibibytes(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// The soft limit of "Max address space"; none if it is unlimited.
fn address_space(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("Max address space"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_words_are_understood() {
        let memory = "MemFree:  1 kB\nMemAvailable:    2048 kB\n";
        assert_eq!(kibibytes(memory, "MemAvailable:"), Some(2 << 20));
        let limits = "Max cpu time   unlimited\nMax address space         4294967296  unlimited  bytes\n";
        assert_eq!(address_space(limits), Some(1 << 32));
        assert_eq!(address_space("Max address space    unlimited  unlimited bytes"), None);
    }

    #[test]
    fn what_does_not_fit_is_refused_with_both_numbers() {
        assert!(check_memory("it", Some(1)).is_ok());
        let text = check_memory("it", Some(1 << 60)).unwrap_err().to_string();
        assert!(text.contains("1073741824.0 GiB") && text.contains("of memory is free"), "{text}");
        assert!(check_memory("it", None).unwrap_err().to_string().contains("be counted"));
    }
}
