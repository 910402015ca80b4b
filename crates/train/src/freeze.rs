//! Which parameters training leaves as they are.

use crate::error::TrainError;
use std::collections::BTreeSet;
use strsim::jaro_winkler;
use wildmatch::WildMatch;

/// So many names are shown for a pattern that is none.
const SHOWN: usize = 3;

/// The parameters that the patterns name. A pattern is a name, or what names begin with up to a dot; `*` stands for
/// any characters, and `?` for one.
///
/// # Errors
/// A pattern that names no parameter, with the nearest names; patterns that leave nothing to train.
pub fn frozen(patterns: &[String], names: &[&str]) -> Result<BTreeSet<String>, TrainError> {
    let mut found = BTreeSet::new();
    for pattern in patterns.iter().map(|pattern| pattern.trim()) {
        if pattern.is_empty() {
            return Err(TrainError::Option("freeze: an empty pattern names nothing; leave it out".into()));
        }
        let (whole, below) = (WildMatch::new(pattern), WildMatch::new(&format!("{pattern}.*")));
        let named = names.iter().filter(|name| whole.matches(name) || below.matches(name));
        let named: Vec<String> = named.map(|name| name.to_string()).collect();
        if named.is_empty() {
            let nearest = nearest(pattern, names).join(", ");
            return Err(TrainError::Option(format!(
                "freeze {pattern:?}: no parameter is called so; the nearest names are {nearest}"
            )));
        }
        found.extend(named);
    }
    match found.len() == names.len() && !names.is_empty() {
        true => {
            let patterns = patterns.join(", ");
            Err(TrainError::Option(format!(
                "freeze {patterns}: these are all parameters, so nothing would be trained"
            )))
        }
        false => Ok(found),
    }
}

/// The names, and what names begin with up to a dot, that look most like a pattern.
fn nearest(pattern: &str, names: &[&str]) -> Vec<String> {
    let plain = pattern.trim_end_matches(['*', '.', '?']);
    let beginnings = |name: &str| -> Vec<String> {
        let ends = name.match_indices('.').map(|(end, _)| end).chain([name.len()]);
        ends.map(|end| name[..end].to_string()).collect()
    };
    let candidates: BTreeSet<String> = names.iter().flat_map(|name| beginnings(name)).collect();
    let mut rated: Vec<(f64, String)> =
        candidates.into_iter().map(|name| (jaro_winkler(plain, &name), name)).collect();
    rated.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    rated.into_iter().take(SHOWN).map(|(_, name)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 5] = [
        "conv_in.bias",
        "conv_in.weight",
        "down_blocks.0.resnets.0.norm1.weight",
        "down_blocks.1.resnets.0.norm1.weight",
        "down_blocks.10.resnets.0.conv1.weight",
    ];

    fn named(patterns: &[&str]) -> Vec<String> {
        let patterns: Vec<String> = patterns.iter().map(ToString::to_string).collect();
        frozen(&patterns, &NAMES).unwrap().into_iter().collect()
    }

    fn refused(pattern: &str) -> String {
        frozen(&[pattern.into()], &NAMES).unwrap_err().to_string()
    }

    #[test]
    fn patterns_are_names_beginnings_up_to_a_dot_or_have_stars() {
        assert_eq!(named(&["conv_in.bias"]), [NAMES[0]]);
        assert_eq!(named(&["conv_in"]), NAMES[..2]);
        assert_eq!(named(&["down_blocks.1"]), [NAMES[3]]);
        assert_eq!(named(&["down_blocks"]), NAMES[2..]);
        assert_eq!(named(&["*norm1*"]), NAMES[2..4]);
        assert_eq!(named(&["*.norm1"]), NAMES[2..4]);
        assert_eq!(named(&["conv_in.bias", "*.norm1.*"]), [NAMES[0], NAMES[2], NAMES[3]]);
        assert_eq!(named(&[" conv_in.bias ", "down_blocks.?"]), [NAMES[0], NAMES[2], NAMES[3]]);
        assert!(named(&[]).is_empty());
    }

    #[test]
    fn a_pattern_that_names_nothing_is_answered_with_the_nearest_names() {
        for (pattern, nearest) in [("down_block", "down_blocks"), ("conv_inn.*", "conv_in")] {
            let error = refused(pattern);
            assert!(error.contains(nearest) && error.contains(&format!("{pattern:?}")), "{error}");
        }
        assert!(refused("conv").contains("no parameter"));
        assert!(refused(" ").contains("an empty pattern"));
    }

    #[test]
    fn something_must_be_left_to_train() {
        assert!(refused("*").contains("nothing would be trained"));
    }
}
