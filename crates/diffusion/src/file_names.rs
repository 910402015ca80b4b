//! What single images are called: names that are known before anything is drawn, and that no other
//! image of the drawing has, on file systems that ignore case too.

use std::collections::{HashMap, HashSet};

/// More bytes of a class's name are not put into a file's.
const MOST_BYTES: usize = 100;

/// What the classes are called in file names.
pub struct ClassFiles<'a> {
    names: &'a [String],
    /// How many names are the same but for their case.
    alike: HashMap<String, usize>,
}

impl<'a> ClassFiles<'a> {
    /// Of the classes with these names.
    pub fn new(names: &'a [String]) -> Self {
        let mut alike = HashMap::new();
        names.iter().for_each(|name| *alike.entry(name.to_lowercase()).or_insert(0) += 1);
        Self { names, alike }
    }

    /// A class's name as part of a file name: its own where every system takes that and no other class has
    /// it, or its index as a list of classes has it, such as `@3`.
    pub fn of_class(&self, index: u32) -> String {
        let Some(name) = self.names.get(index as usize) else { return format!("@{index}") };
        let usable = name.chars().all(|c| c.is_alphanumeric() || "-_ ".contains(c))
            && !name.is_empty()
            && name.trim() == name
            && name.len() <= MOST_BYTES;
        let alone = self.alike.get(&name.to_lowercase()) == Some(&1);
        if usable && alone { name.clone() } else { format!("@{index}") }
    }
}

/// The same of a mixture of classes: its parts and shares, or a hash of them where they are many.
pub fn of_mixture(parts: &[(u32, f64)]) -> String {
    let part = |(label, share): &(u32, f64)| format!("{label}x{share}");
    let all = parts.iter().map(part).collect::<Vec<_>>().join("+");
    match all.len() <= MOST_BYTES {
        true => all,
        false => format!("mixture-{}", &blake3::hash(all.as_bytes()).to_hex()[..16]),
    }
}

/// The same names, with `_2`, `_3` and so on behind those that came before.
pub fn unique(names: Vec<String>) -> Vec<String> {
    let mut taken = HashSet::new();
    let mut free = |name: String| {
        let mut tried = name.clone();
        let mut number = 2;
        while !taken.insert(tried.to_lowercase()) {
            tried = format!("{name}_{number}");
            number += 1;
        }
        tried
    };
    names.into_iter().map(&mut free).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| name.to_string()).collect()
    }

    fn of_all(classes: &[&str]) -> Vec<String> {
        let classes = names(classes);
        let files = ClassFiles::new(&classes);
        (0..classes.len() as u32).map(|index| files.of_class(index)).collect()
    }

    #[test]
    fn no_two_classes_have_one_file_name() {
        assert_eq!(of_all(&["dark left", "right"]), ["dark left", "right"]);
        assert_eq!(of_all(&["1", "1.5"]), ["1", "@1"]);
        assert_eq!(of_all(&["1", "a/b"]), ["1", "@1"]);
        assert_eq!(of_all(&["same", "same", "A", "a"]), ["@0", "@1", "@2", "@3"]);
        assert_eq!(of_all(&["..", "", " x", "a\nb"]), ["@0", "@1", "@2", "@3"]);
    }

    #[test]
    fn long_names_give_way_to_numbers() {
        assert_eq!(of_all(&[&"n".repeat(300), &"é".repeat(51), &"n".repeat(100)])[..2], ["@0", "@1"]);
        assert_eq!(of_mixture(&[(0, 0.5), (1, 0.5)]), "0x0.5+1x0.5");
        let many: Vec<(u32, f64)> = (0..60).map(|label| (label, 1.0 / 60.0)).collect();
        assert!(of_mixture(&many).len() < 30);
    }

    #[test]
    fn what_is_asked_for_twice_is_written_twice() {
        assert_eq!(unique(names(&["a", "A", "a", "a_2"])), ["a", "A_2", "a_3", "a_2_2"]);
    }
}
