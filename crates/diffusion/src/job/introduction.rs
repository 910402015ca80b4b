//! What a rank says of itself at the start, so that no two differ in anything that a result depends on.

use crate::config::RunConfig;
use crate::error::Result;
use candle_core::Device;
use duet_data::{Dataset, Shape};
use duet_train::Trainer;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a rank says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Introduction {
    /// The machine.
    pub host: String,
    /// The program's version and the hash of its file.
    pub program: String,
    /// How it was started, but for the number of threads.
    pub arguments: Vec<String>,
    /// A hash of what it computes: processors with other instructions may get other bits.
    pub results: String,
    /// How many threads it has.
    pub threads: usize,
}

impl Introduction {
    /// Of this process, with its arguments after the program's name.
    ///
    /// # Errors
    /// Those of a training step.
    pub fn of_process(version: &str, arguments: Vec<String>) -> Result<Self> {
        let host = duet_files::read_text("/proc/sys/kernel/hostname".as_ref(), 1 << 10);
        let file = std::env::current_exe().and_then(|path| duet_files::read(&path, u64::MAX));
        let hash = file.map_or("unknown".into(), |bytes| blake3::hash(&bytes).to_hex()[..16].to_string());
        Ok(Self {
            host: host.map_or("an unknown host".into(), |host| host.trim().to_string()),
            program: format!("{version} ({hash})"),
            arguments: without_threads(arguments),
            results: results()?,
            threads: rayon::current_num_threads(),
        })
    }

    /// The first thing in which ranks differ, with the ranks and their values; none where they are the same.
    pub(crate) fn difference(all: &[Self]) -> Option<String> {
        let of = |what: &str, value: &dyn Fn(&Self) -> String| {
            let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
            for (rank, introduction) in all.iter().enumerate() {
                let name = format!("{rank} on {}", introduction.host);
                found.entry(value(introduction)).or_default().push(name);
            }
            let has = |(value, ranks): (&String, &Vec<String>)| format!("rank {}: {value}", ranks.join(", "));
            let values: Vec<String> = found.iter().map(has).collect();
            (found.len() > 1).then(|| format!("the ranks differ in {what}; {}", values.join("; ")))
        };
        let program = of("their program", &|introduction| introduction.program.clone());
        let arguments = || of("their arguments", &|introduction| introduction.arguments.join(" "));
        let results = || {
            of("the results of their processors, whose instructions are not the same", &|introduction| {
                introduction.results.clone()
            })
        };
        program.or_else(arguments).or_else(results)
    }
}

/// Ranks may have more or fewer threads than others: no result depends on them.
fn without_threads(arguments: Vec<String>) -> Vec<String> {
    let mut kept = Vec::new();
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--threads" => drop(arguments.next()),
            other if other.starts_with("--threads=") => {}
            _ => kept.push(argument),
        }
    }
    kept
}

/// A hash of the weights after one step of the digits' network.
fn results() -> Result<String> {
    let mut config = RunConfig::preset("digits")?;
    config.train.batch = 8;
    config.train.accumulate = 1;
    let shape = Shape { channels: 1, height: 28, width: 28 };
    let pixels = (0..8 * 28 * 28).map(|i: usize| (i * i % 251) as u8).collect();
    let classes: Vec<String> = (0..10).map(|class| class.to_string()).collect();
    let images = Dataset::new(shape, pixels, (0..8).collect(), classes)?;
    let splits = duet_data::Splits { train: images.clone(), test: images.clone(), ..duet_data::digits()? };
    let mut trainer = Trainer::new(&config.unet(&splits)?, &config.diffusion, &config.train, &Device::Cpu)?;
    trainer.step_on_images(&images, &[0, 1, 2, 3, 4, 5, 6, 7])?;
    Ok(blake3::hash(&trainer.state()?).to_hex()[..16].to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(rank: usize) -> Introduction {
        Introduction {
            host: format!("host-{rank}"),
            program: "0.1.0 (ab)".into(),
            arguments: vec!["train".into()],
            results: "12".into(),
            threads: rank + 1,
        }
    }

    #[test]
    fn what_differs_is_said_with_the_ranks_and_both_values() {
        let same: Vec<_> = (0..3).map(of).collect();
        assert_eq!(Introduction::difference(&same), None);
        let mut other = same.clone();
        other[1].program = "0.2.0 (cd)".into();
        let said = Introduction::difference(&other).unwrap();
        assert!(
            said.contains("rank 0 on host-0, 2 on host-2: 0.1.0 (ab); rank 1 on host-1: 0.2.0 (cd)"),
            "{said}"
        );
        let mut other = same.clone();
        other[2].arguments.push("--batch".into());
        assert!(Introduction::difference(&other).unwrap().contains("arguments"));
        let mut other = same;
        other[0].results = "13".into();
        assert!(Introduction::difference(&other).unwrap().contains("processors"));
    }

    #[test]
    fn threads_may_differ_and_results_are_the_same_each_time() {
        let words = |words: &[&str]| words.iter().map(|word| word.to_string()).collect::<Vec<_>>();
        let given = words(&["train", "--threads", "4", "--batch", "8", "--threads=2"]);
        assert_eq!(without_threads(given), words(&["train", "--batch", "8"]));
        assert_eq!(results().unwrap(), results().unwrap());
    }
}
