//! Runs side by side, and where their configurations differ.

use crate::compare_table::{Row, Table};
use crate::judged::Better;
use crate::record::{LAST_STEPS, RunRecord};
use crate::report::html::significant;
use crate::words::duration;
use std::collections::BTreeSet;

/// Settings that decide what a loss measures: where they differ, the lower one is not the better.
const LOSS_IS_OF: [&str; 8] = [
    "data.channels",
    "data.fingerprint",
    "data.held_out_fingerprint",
    "data.image_size",
    "diffusion.prediction",
    "diffusion.schedule",
    "diffusion.timesteps",
    "diffusion.zero_terminal_snr",
];
/// The training loss depends on this one too, the held-out loss does not.
const WEIGHTING: &str = "train.loss_weighting";

/// The runs in columns, in their order; `arguments` are how they were named.
pub fn compare(arguments: &[String], runs: &[RunRecord]) -> Table {
    let names: BTreeSet<&str> = runs.iter().map(|run| run.name.as_str()).collect();
    let columns = match names.len() == runs.len() {
        true => runs.iter().map(|run| run.name.clone()).collect(),
        // Two folders of the same name are told apart by the ways to them.
        false => arguments.to_vec(),
    };
    let mut rows = what_was_trained(runs);
    rows.extend(losses(runs));
    rows.extend(evaluations(runs));
    // What no run knows needs no row.
    rows.retain(Row::has_values);
    Table { columns, rows, differences: differences(runs), notes: notes(runs) }
}

fn what_was_trained(runs: &[RunRecord]) -> Vec<Row> {
    let text = |name: &str, value: &dyn Fn(&RunRecord) -> Option<String>| {
        Row::text(name, runs.iter().map(value).collect())
    };
    let count = |number: Option<u64>| number.map(|number| number.to_string());
    let parameters = |run: &RunRecord| Some(run.network.as_ref()?.parameters.to_string());
    let rate = runs.iter().map(|run| run.course.rate).collect();
    vec![
        text("data", &|run| run.setting("data.source")),
        text("parameters", &parameters),
        text("steps", &|run| count(Some(run.steps()))),
        text("  planned", &|run| count(run.planned())),
        text("images seen", &|run| count(run.images())),
        text("time", &|run| run.course.time.map(duration)),
        Row::numbers("images a second", rate, Better::Higher),
    ]
}

fn losses(runs: &[RunRecord]) -> Vec<Row> {
    let comparable = differing(runs, &LOSS_IS_OF).is_empty();
    let better = |holds: bool| if holds { Better::Lower } else { Better::Neither };
    let same_weighting = differing(runs, &[WEIGHTING]).is_empty();
    let last = runs.iter().map(RunRecord::last_loss).collect();
    let best: Vec<_> = runs.iter().map(RunRecord::best_held_out).collect();
    let step = |best: &Option<(f64, u64)>| best.map(|(_, step)| step.to_string());
    vec![
        Row::numbers(&format!("loss, last {LAST_STEPS} steps"), last, better(comparable && same_weighting)),
        Row::numbers(
            "best held-out loss",
            best.iter().map(|best| best.map(|(loss, _)| loss)).collect(),
            better(comparable),
        ),
        Row::text("  after step", best.iter().map(step).collect()),
    ]
}

fn evaluations(runs: &[RunRecord]) -> Vec<Row> {
    let evals: Vec<_> = runs.iter().map(|run| run.eval.clone().unwrap_or_default().numbers()).collect();
    let row = |i: usize| {
        let (name, _, better) = &evals[0][i];
        Row::numbers(name, evals.iter().map(|numbers| numbers[i].1).collect(), *better)
    };
    (0..evals.first().map_or(0, Vec::len)).map(row).collect()
}

/// Those of the keys that the runs have different values for.
fn differing<'a>(runs: &[RunRecord], keys: &[&'a str]) -> Vec<&'a str> {
    let differs = |key: &&&str| match **key {
        // Runs of older versions do not say.
        "data.held_out_fingerprint" => {
            let mut said = runs.iter().filter_map(|run| run.settings.get(**key));
            let first = said.next();
            said.any(|other| Some(other) != first)
        }
        key => runs.iter().any(|run| run.settings.get(key) != runs[0].settings.get(key)),
    };
    keys.iter().filter(differs).copied().collect()
}

/// The keys of the configurations that differ, with each run's value.
fn differences(runs: &[RunRecord]) -> Vec<Row> {
    let keys: BTreeSet<&str> = runs.iter().flat_map(|run| run.settings.keys().map(String::as_str)).collect();
    let keys: Vec<&str> = keys.into_iter().collect();
    let row = |key: &str| Row::text(key, runs.iter().map(|run| run.setting(key)).collect());
    differing(runs, &keys).into_iter().map(row).collect()
}

/// What should not be compared, and why.
fn notes(runs: &[RunRecord]) -> Vec<String> {
    let mut notes = Vec::new();
    let keys = differing(runs, &LOSS_IS_OF);
    if !keys.is_empty() {
        notes.push(format!("losses do not compare, and none is marked: {} differ", keys.join(", ")));
    } else if !differing(runs, &[WEIGHTING]).is_empty() {
        notes.push(format!("training losses do not compare, and none is marked: {WEIGHTING} differs"));
    }
    let settings: Vec<_> = runs.iter().filter_map(|run| run.eval.as_ref()?.settings.as_ref()).collect();
    let mut keys: BTreeSet<&String> = settings.iter().flat_map(|settings| settings.keys()).collect();
    // What was drawn with differs anyway.
    keys.retain(|key| !["run", "samples"].contains(&key.as_str()));
    keys.retain(|key| settings.iter().any(|other| other.get(*key) != settings[0].get(*key)));
    if !keys.is_empty() {
        let keys: Vec<&str> = keys.into_iter().map(String::as_str).collect();
        notes.push(format!("the evaluations differ in {}", keys.join(", ")));
    }
    notes
}

impl Row {
    fn numbers(name: &str, values: Vec<Option<f64>>, better: Better) -> Self {
        let shown = values.iter().map(|value| value.map(significant)).collect();
        Self { best: best(&values, better), ..Self::text(name, shown) }
    }
}

/// Which of the values are the best; none where that is all of them.
fn best(values: &[Option<f64>], better: Better) -> Vec<bool> {
    let all = values.iter().flatten().copied();
    let best = match better {
        Better::Lower => all.reduce(f64::min),
        Better::Higher => all.reduce(f64::max),
        Better::Neither => None,
    };
    let marked: Vec<bool> = values.iter().map(|value| value.is_some() && *value == best).collect();
    let differ = values.iter().flatten().any(|&value| Some(value) != best);
    marked.into_iter().map(|mark| mark && differ).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_is_marked_where_values_differ() {
        let values = [Some(2.0), None, Some(1.0), Some(1.0)];
        assert_eq!(best(&values, Better::Lower), [false, false, true, true]);
        assert_eq!(best(&values, Better::Higher), [true, false, false, false]);
        assert_eq!(best(&values, Better::Neither), [false; 4]);
        assert_eq!(best(&[Some(1.0), Some(1.0), None], Better::Lower), [false; 3]);
        assert_eq!(best(&[None, Some(1.0)], Better::Lower), [false; 2]);
    }
}
