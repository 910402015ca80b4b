//! What the folders of a set's classes are called: names that every system takes, in the order of the classes.

use std::collections::HashSet;

/// More bytes of a class's name are not put into a folder's.
const MOST_BYTES: usize = 100;
/// Windows keeps these for devices, whatever their case.
const DEVICES: [&str; 4] = ["con", "prn", "aux", "nul"];
/// And these with a digit behind.
const NUMBERED_DEVICES: [&str; 2] = ["com", "lpt"];
/// Readers of data sets pass over folders of these names.
const PASSED_OVER: [&str; 2] = ["__macosx", "@eadir"];

/// A folder's name for each class: the classes' own names, if every system takes them all and they are in
/// byte order. Otherwise each has its number in front, `03_T-shirt-top`.
///
/// Readers of image folders (torchvision's `ImageFolder`, [`duet_data::open`]) sort the folders by name and number
/// the classes so. Either way this is the order of `names`.
pub fn folder_names(names: &[String]) -> Vec<String> {
    let mut seen = HashSet::new();
    let usable = names.iter().all(|name| is_usable(name) && seen.insert(name.to_lowercase()));
    if usable && names.is_sorted() {
        return names.to_vec();
    }
    let digits = names.len().saturating_sub(1).to_string().len();
    let numbered = |(i, name): (usize, &String)| match cleaned(name) {
        name if name.is_empty() => format!("{i:0digits$}"),
        name => format!("{i:0digits$}_{name}"),
    };
    names.iter().enumerate().map(numbered).collect()
}

fn is_plain(c: char) -> bool {
    c.is_alphanumeric() || "-_ ".contains(c)
}

fn is_usable(name: &str) -> bool {
    let lower = name.to_lowercase();
    let is_numbered_device = |device: &str| {
        let behind = lower.strip_prefix(device).map(|rest| rest.chars().collect::<Vec<_>>());
        matches!(behind.as_deref(), Some([digit]) if digit.is_numeric())
    };
    !name.is_empty()
        && name.len() <= MOST_BYTES
        && name.trim() == name
        && name.chars().all(is_plain)
        && !DEVICES.contains(&lower.as_str())
        && !PASSED_OVER.contains(&lower.as_str())
        && !NUMBERED_DEVICES.iter().any(|device| is_numbered_device(device))
}

/// The name with a dash for what some system does not take; it may be empty.
fn cleaned(name: &str) -> String {
    let mut clean = String::new();
    for c in name.trim().chars().map(|c| if is_plain(c) { c } else { '-' }) {
        if clean.len() + c.len_utf8() > MOST_BYTES {
            break;
        }
        clean.push(c);
    }
    clean.trim_end().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(names: &[&str]) -> Vec<String> {
        folder_names(&names.iter().map(|name| name.to_string()).collect::<Vec<_>>())
    }

    #[test]
    fn names_that_are_usable_and_in_order_stay() {
        assert_eq!(of(&["0", "1", "2"]), ["0", "1", "2"]);
        assert_eq!(of(&["dark left", "right", "étoile"]), ["dark left", "right", "étoile"]);
    }

    #[test]
    fn awkward_names_have_their_number_and_stay_in_order() {
        assert_eq!(of(&["T-shirt/top", "Trouser"]), ["0_T-shirt-top", "1_Trouser"]);
        assert_eq!(of(&["..", ".", "a\\b"]), ["0_--", "1_-", "2_a-b"]);
        assert_eq!(of(&["\u{202e}", "a\nb", " \u{0}"]), ["0_-", "1_a-b", "2_-"]);
        assert_eq!(of(&["b", "a"]), ["0_b", "1_a"]);
        for device in ["CON", "nul", "Com1", "LPT9", "COM¹", "__MACOSX"] {
            assert_eq!(of(&[device]), [format!("0_{device}")]);
        }
        assert_eq!(of(&["A", "a"]), ["0_A", "1_a"]);
        assert_eq!(of(&["", "   "]), ["0", "1"]);
        let long = of(&[&"é".repeat(80), "x"]);
        assert!(long[0].len() <= 102 && long[0].starts_with("0_é"), "{long:?}");
        let many: Vec<String> = (0..12).map(|i| i.to_string()).collect();
        let folders = folder_names(&many);
        assert_eq!((folders[2].as_str(), folders[11].as_str()), ("02_2", "11_11"));
        assert!(folders.is_sorted());
    }
}
