//! Which classes are drawn: by name or number, and mixtures of them.

use crate::error::{Result, option};
use crate::file_names::{self, ClassFiles};
use serde::{Deserialize, Serialize};
use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

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

/// Classes by name or number and mixtures of them: "all", "3,7", "cat,@3" or "3:0.5+8:0.5".
///
/// What a name means is known only with the names of a model's classes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClassList(String);

impl ClassList {
    /// Every class.
    pub fn all() -> Self {
        Self("all".into())
    }

    /// These labels of classes with these names.
    pub fn of(labels: &[u32], names: &[String]) -> Self {
        match labels.iter().copied().eq(0..names.len() as u32) {
            true => Self::all(),
            false => {
                let asked = labels.iter().map(|&label| asked(label as usize, names));
                Self(asked.collect::<Vec<_>>().join(","))
            }
        }
    }

    /// Whether every class is asked for, whatever they are.
    pub fn is_all(&self) -> bool {
        self.0 == "all"
    }

    /// The labels, without mixtures.
    ///
    /// # Errors
    /// Where there is no such class.
    pub fn labels(&self, names: &[String]) -> Result<Vec<u32>> {
        if self.is_all() {
            return Ok((0..names.len() as u32).collect());
        }
        self.0.split(',').map(|part| class(part.trim(), names)).collect()
    }

    /// The one label that an option takes.
    ///
    /// # Errors
    /// Where there are several, or no such class.
    pub(crate) fn label(&self, option_name: &'static str, names: &[String]) -> Result<u32> {
        match self.labels(names)?[..] {
            [label] => Ok(label),
            _ => Err(option(option_name, format!(" {self}: one class is needed"))),
        }
    }

    /// Classes and mixtures.
    ///
    /// # Errors
    /// Where there is no such class, or shares do not sum to 1.
    pub(crate) fn choices(&self, names: &[String]) -> Result<Vec<Choice>> {
        let files = ClassFiles::new(names);
        let single = |label: u32| Choice {
            name: names[label as usize].clone(),
            parts: vec![(label, 1.0)],
            file_name: files.of_class(label),
        };
        if self.is_all() {
            return Ok((0..names.len() as u32).map(single).collect());
        }
        let parts = self.0.split(',').map(str::trim);
        let choice = |part: &str| match index(part, names) {
            // A name may hold a plus or a colon.
            Some(i) => Ok(single(i as u32)),
            None if part.contains(['+', ':']) => mixture(part, names),
            None => class(part, names).map(single),
        };
        parts.map(choice).collect()
    }
}

impl fmt::Display for ClassList {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for ClassList {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl FromStr for ClassList {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(text.into())
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
                let list = ClassList::of(&labels, &names);
                assert_eq!(list.labels(&names).unwrap(), labels, "{list} of {names:?}");
            }
        }
    }

    #[test]
    fn a_class_is_asked_for_by_index_whatever_the_names_are() {
        let numbered: Vec<String> = [1, 10, 11, 12, 2, 3, 4, 5, 6, 7, 8, 9].map(|n| n.to_string()).into();
        let digits: Vec<String> = (0..10).map(|n| n.to_string()).collect();
        for names in [&numbered, &digits] {
            let all: Vec<String> = (0..names.len()).map(|class| asked(class, names)).collect();
            let labels = ClassList::from(all.join(",").as_str()).labels(names).unwrap();
            assert_eq!(labels, (0..names.len() as u32).collect::<Vec<_>>());
        }
        assert_eq!(asked(3, &digits), "3");
        assert_eq!(ClassList::from("1,@1").labels(&numbered).unwrap(), [0, 1]);
        assert_eq!(
            ClassList::from("@1:0.5+1:0.5").choices(&numbered).unwrap()[0].parts,
            [(1, 0.5), (0, 0.5)]
        );
        assert!(ClassList::from("@12").labels(&numbered).is_err());
    }
}
