//! `--class 3,7|names|all` and `--seeds 0-63`.

use crate::exit::usage;
use anyhow::Result;

/// No command draws more images than this at once.
const MAX_SEEDS: u64 = 1_000_000;

/// Labels of a list of class names or numbers; none for an unconditional model.
pub fn classes(text: &str, names: &[String]) -> Result<Vec<u32>> {
    if text == "all" {
        return Ok((0..names.len() as u32).collect());
    }
    let unknown = |part: &str| {
        let known = names.iter().enumerate().map(|(i, name)| match name.parse() == Ok(i) {
            true => name.clone(),
            false => format!("{i} ({name})"),
        });
        let known = known.collect::<Vec<_>>().join(", ");
        usage(format!("--class {part}: no such class; the model knows {known}"))
    };
    let parts = text.split(',').map(str::trim);
    let label = |part| duet_data::class_index(names, part).map(|i| i as u32).ok_or_else(|| unknown(part));
    parts.map(label).collect()
}

/// Seeds of a list of numbers and ranges, such as "0-7,100".
pub fn seeds(text: &str) -> Result<Vec<u64>> {
    let wrong = |part: &str| usage(format!("--seeds {part}: use numbers and rising ranges, such as 0-7,100"));
    let mut seeds = Vec::new();
    for part in text.split(',').map(str::trim) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| text.trim().parse::<u64>().map_err(|_| wrong(part));
        let (first, last) = (number(first)?, number(last)?);
        if last < first {
            return Err(wrong(part));
        }
        if last - first >= MAX_SEEDS || seeds.len() as u64 + (last - first) >= MAX_SEEDS {
            return Err(usage(format!("--seeds {text}: at most {MAX_SEEDS} at once")));
        }
        seeds.extend(first..=last);
    }
    Ok(seeds)
}
