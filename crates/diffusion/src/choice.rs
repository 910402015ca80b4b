//! Classes by name or number and mixtures of them, "3,7" or "3:0.5+8:0.5" or "all", and lists of seeds, "0-63".

use crate::error::{Result, option};
use crate::file_names::{self, ClassFiles};

/// No more images are drawn at once.
pub const MOST_IMAGES: u64 = 1_000_000;
/// More classes are not listed in a message.
const MOST_NAMED: usize = 100;

/// A class or a mixture of classes.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// As it was named; of a single class, its name.
    pub name: String,
    /// Labels and shares.
    pub parts: Vec<(u32, f64)>,
    /// As part of a file's name.
    pub file_name: String,
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
    let files = ClassFiles::new(names);
    let single = |label: u32| Choice {
        name: names[label as usize].clone(),
        parts: vec![(label, 1.0)],
        file_name: files.of_class(label),
    };
    if text == "all" {
        return Ok((0..names.len() as u32).map(single).collect());
    }
    let parts = text.split(',').map(str::trim);
    let choice = |part: &str| match index(part, names) {
        // A name may hold a plus or a colon.
        Some(i) => Ok(single(i as u32)),
        None if part.contains(['+', ':']) => mixture(part, names),
        None => class(part, names).map(single),
    };
    parts.map(choice).collect()
}

/// How `--class` asks for these labels.
pub fn list(labels: &[u32], names: &[String]) -> String {
    match labels.iter().copied().eq(0..names.len() as u32) {
        true => "all".into(),
        false => labels.iter().map(|&label| asked(label as usize, names)).collect::<Vec<_>>().join(","),
    }
}

fn class(part: &str, names: &[String]) -> Result<u32> {
    let unknown = || {
        let known = names.iter().enumerate().map(|(i, name)| match name.parse() == Ok(i) {
            true => name.clone(),
            false => format!("{i} ({name})"),
        });
        let mut shown = known.take(MOST_NAMED).collect::<Vec<_>>();
        if names.len() > MOST_NAMED {
            shown.push(format!("and {} more", names.len() - MOST_NAMED));
        }
        let known = shown.join(", ");
        option("class", format!(" {part}: no such class; the model knows {known}"))
    };
    index(part, names).map(|i| i as u32).ok_or_else(unknown)
}

/// `@3` is always the class of that index, whatever the classes are called; anything else is a name,
/// or an index where no class is called so.
fn index(part: &str, names: &[String]) -> Option<usize> {
    match part.strip_prefix('@') {
        Some(number) => number.parse().ok().filter(|&i| i < names.len()),
        None => duet_data::class_index(names, part),
    }
}

/// How `--class` asks for this class: by its number, or by `@` and its number where another class is
/// called so.
pub fn asked(class: usize, names: &[String]) -> String {
    let number = class.to_string();
    match index(&number, names) == Some(class) {
        true => number,
        false => format!("@{class}"),
    }
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
        let share =
            share.ok_or_else(|| option("class", format!(" {text}: {part} is no class with a share")))?;
        Ok((class(name.trim(), names)?, share))
    };
    let parts = text.split('+').map(|text| part(text.trim())).collect::<Result<Vec<(u32, f64)>>>()?;
    let sum: f64 = parts.iter().map(|(_, share)| share).sum();
    if (sum - 1.0).abs() > 1e-6 {
        return Err(option("class", format!(" {text}: the shares sum to {sum}, not to 1")));
    }
    Ok(Choice { name: text.into(), file_name: file_names::of_mixture(&parts), parts })
}

/// Seeds of a list of numbers and ranges, such as "0-7,100".
pub fn seeds(text: &str) -> Result<Vec<u64>> {
    let wrong =
        |part: &str| option("seeds", format!(" {part}: use numbers and rising ranges, such as 0-7,100"));
    let mut seeds = Vec::new();
    for part in text.split(',').map(str::trim) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| text.trim().parse::<u64>().map_err(|_| wrong(part));
        let (first, last) = (number(first)?, number(last)?);
        if last < first {
            return Err(wrong(part));
        }
        if last - first >= MOST_IMAGES || seeds.len() as u64 + (last - first) >= MOST_IMAGES {
            return Err(option("seeds", format!(" {text}: at most {MOST_IMAGES} at once")));
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
            [names(&["1", "2", "3", "0"]), names(&["cat", "1", "a+b", "all"]), names(&["a", "x,y", "1"])]
        {
            for labels in [vec![0, 1], vec![2], (0..names.len() as u32).collect()] {
                let text = list(&labels, &names);
                assert_eq!(classes(&text, &names).unwrap(), labels, "{text} of {names:?}");
            }
        }
    }

    #[test]
    fn a_class_is_asked_for_by_index_whatever_the_names_are() {
        let numbered: Vec<String> = [1, 10, 11, 12, 2, 3, 4, 5, 6, 7, 8, 9].map(|n| n.to_string()).into();
        let digits: Vec<String> = (0..10).map(|n| n.to_string()).collect();
        for names in [&numbered, &digits] {
            let all: Vec<String> = (0..names.len()).map(|class| asked(class, names)).collect();
            let labels = classes(&all.join(","), names).unwrap();
            assert_eq!(labels, (0..names.len() as u32).collect::<Vec<_>>());
        }
        assert_eq!(asked(3, &digits), "3");
        assert_eq!(classes("1,@1", &numbered).unwrap(), [0, 1]);
        assert_eq!(choices("@1:0.5+1:0.5", &numbered).unwrap()[0].parts, [(1, 0.5), (0, 0.5)]);
        assert!(classes("@12", &numbered).is_err());
    }
}
