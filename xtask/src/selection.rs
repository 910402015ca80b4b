//! `--class 3,7|names|3:0.5+8:0.5|all` and `--seeds 0-63`.

use crate::exit::usage;
use anyhow::Result;

/// No command draws more images than this at once.
const MAX_SEEDS: u64 = 1_000_000;

/// A class or a mixture of classes.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// As it was named; of a single class, its name.
    pub name: String,
    /// Labels and shares.
    pub parts: Vec<(u32, f64)>,
}

/// Labels of a list of class names or numbers; none for an unconditional model.
pub fn classes(text: &str, names: &[String]) -> Result<Vec<u32>> {
    if text == "all" {
        return Ok((0..names.len() as u32).collect());
    }
    text.split(',').map(|part| class(part.trim(), names)).collect()
}

/// The same, with mixtures among them.
pub fn choices(text: &str, names: &[String]) -> Result<Vec<Choice>> {
    let single = |label: u32| Choice { name: names[label as usize].clone(), parts: vec![(label, 1.0)] };
    if text == "all" {
        return Ok((0..names.len() as u32).map(single).collect());
    }
    let parts = text.split(',').map(str::trim);
    let choice = |part: &str| match duet_data::class_index(names, part) {
        // A name may hold a plus or a colon.
        Some(i) => Ok(single(i as u32)),
        None if part.contains(['+', ':']) => mixture(part, names),
        None => class(part, names).map(single),
    };
    parts.map(choice).collect()
}

/// A list that [`choices`] reads as these labels; none where the names allow no such list.
pub fn list(labels: &[u32], names: &[String]) -> Option<String> {
    if labels.iter().copied().eq(0..names.len() as u32) {
        return Some("all".into());
    }
    let of = |label: u32| {
        let name = names[label as usize].clone();
        let means = |text: &String| {
            let read = choices(text, names).ok()?;
            (read.len() == 1 && read[0].parts == [(label, 1.0)]).then_some(())
        };
        [label.to_string(), name].into_iter().find(|text| means(text).is_some())
    };
    Some(labels.iter().map(|&label| of(label)).collect::<Option<Vec<_>>>()?.join(","))
}

fn class(part: &str, names: &[String]) -> Result<u32> {
    let unknown = || {
        let known = names.iter().enumerate().map(|(i, name)| match name.parse() == Ok(i) {
            true => name.clone(),
            false => format!("{i} ({name})"),
        });
        let known = known.collect::<Vec<_>>().join(", ");
        usage(format!("--class {part}: no such class; the model knows {known}"))
    };
    duet_data::class_index(names, part).map(|i| i as u32).ok_or_else(unknown)
}

/// "3:0.5+8:0.5", or "3+8" for equal shares.
fn mixture(text: &str, names: &[String]) -> Result<Choice> {
    let count = text.split('+').count() as f64;
    let part = |part: &str| {
        let (name, share) = match part.rsplit_once(':') {
            Some((name, share)) => (name, share.trim().parse().ok()),
            None => (part, Some(1.0 / count)),
        };
        let share = share.filter(|share: &f64| share.is_finite());
        let share = share.ok_or_else(|| usage(format!("--class {text}: {part} is no class with a share")))?;
        Ok((class(name.trim(), names)?, share))
    };
    let parts = text.split('+').map(|text| part(text.trim())).collect::<Result<Vec<(u32, f64)>>>()?;
    let sum: f64 = parts.iter().map(|(_, share)| share).sum();
    if (sum - 1.0).abs() > 1e-6 {
        return Err(usage(format!("--class {text}: the shares sum to {sum}, not to 1")));
    }
    Ok(Choice { name: text.into(), parts })
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbered classes are named by other numbers than their own.
    #[test]
    fn a_list_of_labels_is_read_as_these_labels() {
        let names = |names: &[&str]| names.iter().map(|name| name.to_string()).collect::<Vec<_>>();
        for names in
            [names(&["1", "2", "3", "0"]), names(&["cat", "1", "a+b", "all"]), names(&["x,y", "b", "c"])]
        {
            for labels in [vec![0, 1], vec![2], (0..names.len() as u32).collect()] {
                let text = list(&labels, &names).unwrap();
                assert_eq!(classes(&text, &names).unwrap(), labels, "{text} of {names:?}");
            }
        }
        assert_eq!(list(&[1], &names(&["a", "x,y", "1"])), None);
    }
}
