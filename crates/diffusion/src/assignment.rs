//! A setting as text, `KEY=VALUE`, for any key of the configuration.

use crate::config::{DataConfig, RunConfig, SampleConfig, SaveConfig, nested};
use crate::error::{Result, option};
use crate::fields::fields;
use crate::from::FromConfig;
use crate::network_config::NetworkConfig;
use crate::presets::{DIGITS, merge};
use duet_train::{Diffusion, TrainOptions};
use toml::{Table, Value};

/// Keys of which a run notes itself what they are.
const NOTED: [&str; 4] = ["data.started_in", "data.fingerprint", "data.held_out_fingerprint", "from.hash"];
/// The key without which the others of its table mean nothing.
const FROM: &str = "from.model";
/// What keys of diffusers begin with; the network's configuration knows which there are.
const DIFFUSERS: &str = "model.diffusers.";
/// So many keys are named where one is unknown.
const NEAREST: usize = 3;
/// What types are called in an error, and what they are called for people.
const TAKES: [(&str, &str); 8] = [
    ("u64", "a whole number, 0 or more"),
    ("usize", "a whole number, 0 or more"),
    ("f64", "a number"),
    ("a boolean", "true or false"),
    ("a sequence", "a list, such as [16, 32] or [\"down_blocks\"]"),
    ("a map", "a table, such as {act_fn = \"gelu\"}"),
    ("an array of length 2", "a list of two numbers, such as [0.9, 0.99]"),
    ("a string", "a text"),
];

/// A key of the configuration and its value, for [`RunConfig::resolve`], of a text `KEY=VALUE`.
///
/// A key is named with its table (`train.learning_rate`), or without it where only one table has it. The value is
/// read as TOML; what is no TOML, or of another type than the key's, is a text.
///
/// # Errors
/// Where there is no such key, with the nearest ones; where a run fills it in itself; where the value is not what it
/// takes.
pub fn assignment(text: &str) -> Result<(String, Value)> {
    let refuse = |problem: String| option("set", format!(" {text}: {problem}"));
    let Some((key, value)) = text.split_once('=') else {
        return Err(refuse("use KEY=VALUE, such as train.learning_rate=0.001".into()));
    };
    let key = find(key.trim()).map_err(refuse)?;
    let value = read(&key, value.trim()).map_err(|problem| refuse(format!("{key}: {problem}")))?;
    Ok((key, value))
}

/// Every key of a run's configuration, table by table, but for those that a run fills in.
fn keys() -> Vec<String> {
    let tables = tables().into_iter();
    let keys = tables.flat_map(|(table, keys)| keys.iter().map(move |key| format!("{table}.{key}")));
    keys.filter(|key| !NOTED.contains(&key.as_str())).collect()
}

fn tables() -> [(&'static str, &'static [&'static str]); 7] {
    [
        ("data", fields::<DataConfig>()),
        ("model", fields::<NetworkConfig>()),
        ("diffusion", fields::<Diffusion>()),
        ("train", fields::<TrainOptions>()),
        ("save", fields::<SaveConfig>()),
        ("sample", fields::<SampleConfig>()),
        ("from", fields::<FromConfig>()),
    ]
}

/// A key's name within its table.
fn bare(key: &str) -> &str {
    key.rsplit_once('.').map_or(key, |(_, bare)| bare)
}

/// The whole name of a key that may be named without its table.
fn find(asked: &str) -> Result<String, String> {
    if NOTED.iter().any(|key| *key == asked || bare(key) == asked) {
        return Err("a run fills it in itself; leave it out".into());
    }
    if asked.strip_prefix(DIFFUSERS).is_some_and(|key| !key.is_empty() && !key.contains('.')) {
        return Ok(asked.into());
    }
    if let Some((table, keys)) = tables().into_iter().find(|(table, _)| *table == asked) {
        let first = keys.first().copied().unwrap_or_default();
        return Err(format!("{table} is a table: name a key of it, such as {table}.{first}"));
    }
    let keys = keys();
    let meant: Vec<&String> = keys.iter().filter(|key| *key == asked || bare(key) == asked).collect();
    match meant[..] {
        [key] => Ok(key.clone()),
        [] => Err(format!("there is no such key; the nearest are {}", listed(&nearest(asked, &keys)))),
        _ => Err(format!("there are {}; name the table too", listed(&meant))),
    }
}

/// The keys that are typed most like it; a wrong table counts as one letter.
fn nearest<'a>(asked: &str, keys: &'a [String]) -> Vec<&'a String> {
    let distance = |key: &String| {
        let within = strsim::osa_distance(bare(asked), bare(key)) + usize::from(asked.contains('.'));
        within.min(strsim::osa_distance(asked, key))
    };
    let mut keys: Vec<&String> = keys.iter().collect();
    keys.sort_by_key(|key| distance(key));
    keys.truncate(NEAREST);
    keys
}

fn listed(keys: &[&String]) -> String {
    let (last, rest) =
        keys.split_last().map_or((String::new(), keys), |(last, rest)| (last.to_string(), rest));
    let rest: Vec<&str> = rest.iter().map(|key| key.as_str()).collect();
    format!("{} and {last}", rest.join(", "))
}

/// The value as the key's type has it.
fn read(key: &str, text: &str) -> Result<Value, String> {
    let as_text = Value::String(text.into());
    let Ok(value) = text.parse::<Value>() else { return check(key, as_text).map_err(in_words) };
    check(key, value.clone()).or_else(|error| {
        check(key, as_text).map_err(|of_text| match value.is_str() || is_of_type(&of_text) {
            true => in_words(error),
            false => in_words(of_text),
        })
    })
}

/// The value, if a configuration that is right but for it can have it.
fn check(key: &str, value: Value) -> Result<Value, toml::de::Error> {
    let mut table: Table = DIGITS.parse()?;
    if key.starts_with("from.") {
        merge(&mut table, nested(FROM, "".into()));
    }
    merge(&mut table, nested(key, value.clone()));
    table.try_into::<RunConfig>().map(|_| value)
}

/// Whether a value is of a wrong type, not one of the right type that cannot be.
fn is_of_type(error: &toml::de::Error) -> bool {
    error.message().starts_with("invalid type")
}

fn in_words(error: toml::de::Error) -> String {
    let message = error.message();
    let Some((_, expected)) = message.rsplit_once("expected ") else { return message.into() };
    match TAKES.iter().find(|(name, _)| *name == expected) {
        Some((_, words)) => format!("it takes {words}"),
        None if message.starts_with("unknown variant") => format!("it takes {}", expected.replace('`', "")),
        None => message.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        assignment(text).unwrap_err().chain()
    }

    #[test]
    fn every_table_of_the_configuration_has_its_keys() {
        // What a student learns is the verb distill's to say, by its flags.
        let settable = fields::<RunConfig>().iter().copied().filter(|table| *table != "distill");
        assert!(tables().map(|(table, _)| table).into_iter().eq(settable));
        assert_eq!(fields::<String>(), [""; 0]);
        let presets: Table = DIGITS.parse().unwrap();
        let keys = keys();
        for (table, values) in &presets {
            for key in values.as_table().unwrap().keys() {
                assert!(keys.contains(&format!("{table}.{key}")), "{table}.{key}");
            }
        }
        for key in
            ["diffusion.snr_scale", "diffusion.beta_end", "sample.eta", "train.augment", "data.image_size"]
        {
            assert!(keys.contains(&key.to_string()), "{key} is set where no preset needs it");
        }
    }

    #[test]
    fn a_value_is_what_the_type_of_its_key_makes_of_the_text() {
        let list = Value::from(vec![32, 64]);
        for (text, key, value) in [
            ("train.learning_rate=1e-3", "train.learning_rate", Value::Float(1e-3)),
            ("learning_rate=1", "train.learning_rate", Value::Integer(1)),
            (" train.balance = true ", "train.balance", Value::Boolean(true)),
            ("diffusion.schedule=cosine", "diffusion.schedule", "cosine".into()),
            ("diffusion.schedule=\"cosine\"", "diffusion.schedule", "cosine".into()),
            ("model.block_out_channels=[32,64]", "model.block_out_channels", list),
            ("train.betas=[0.8, 0.95]", "train.betas", Value::from(vec![0.8, 0.95])),
            ("history=0.75", "sample.history", "0.75".into()),
            ("sample.interval=1:8", "sample.interval", "1:8".into()),
            ("sample.guidance_schedule=1,1,2", "sample.guidance_schedule", "1,1,2".into()),
            ("data.image_size=32", "data.image_size", Value::Integer(32)),
            ("data.image_size=24x40", "data.image_size", "24x40".into()),
            ("data.source=2024", "data.source", "2024".into()),
            ("data.source=a=b", "data.source", "a=b".into()),
            ("loss_weighting=log_normal:0:1", "train.loss_weighting", "log_normal:0:1".into()),
            ("from.weights=raw", "from.weights", "raw".into()),
            ("from.model=latest", "from.model", "latest".into()),
            ("freeze=[\"up_blocks\"]", "train.freeze", Value::from(vec!["up_blocks"])),
            ("model.diffusers.act_fn=gelu", "model.diffusers.act_fn", "gelu".into()),
            ("model.diffusers.freq_shift=1", "model.diffusers.freq_shift", Value::Integer(1)),
        ] {
            assert_eq!(assignment(text).unwrap(), (key.into(), value), "{text}");
        }
    }

    #[test]
    fn an_unknown_key_is_answered_with_the_nearest_ones() {
        for (text, nearest) in [
            ("train.learning-rate=1", "train.learning_rate, "),
            ("learing_rate=1", "train.learning_rate, "),
            ("sample.learning_rate=1", "train.learning_rate, "),
            ("train.label_drop=1", "train.label_dropout, "),
            ("diffusion.shedule=cosine", "diffusion.schedule, "),
            ("model.difusers.act_fn=gelu", "model."),
            ("model.diffusers.=gelu", "model.diffusers"),
            ("=1", "train."),
        ] {
            let error = refused(text);
            let said = format!("set {text}: there is no such key; the nearest are ");
            assert!(error.starts_with(&said) && error.contains(nearest), "{error}");
        }
        assert_eq!(
            refused("steps=7"),
            "set steps=7: there are train.steps and sample.steps; name the table too"
        );
        assert!(refused("train.steps").contains("use KEY=VALUE"));
        for key in NOTED.iter().flat_map(|key| [key, bare(key)]) {
            assert!(refused(&format!("{key}=x")).contains("a run fills it in itself"), "{key}");
        }
    }

    #[test]
    fn a_value_of_another_type_is_answered_with_what_the_key_takes() {
        for (text, takes) in [
            ("train.steps=many", "train.steps: it takes a whole number, 0 or more"),
            ("train.steps=-5", "train.steps: it takes a whole number, 0 or more"),
            ("train.steps=1e3", "train.steps: it takes a whole number, 0 or more"),
            ("train.steps=", "train.steps: it takes a whole number, 0 or more"),
            ("train.batch=0.5", "train.batch: it takes a whole number, 0 or more"),
            ("learning_rate=fast", "train.learning_rate: it takes a number"),
            ("model.mid_attention=1", "model.mid_attention: it takes true or false"),
            ("model.block_out_channels=32", "it takes a list, such as [16, 32]"),
            ("model.block_out_channels=[a]", "it takes a list, such as [16, 32]"),
            ("train.betas=0.9", "it takes a list of two numbers"),
            ("train.betas=[0.9]", "it takes a list of two numbers"),
            ("train.optimizer=sgd", "optimizer \"sgd\": use one of adamw, muon"),
            ("diffusion.schedule=\"cosin\"", "it takes one of linear, scaled_linear, cosine"),
            ("timestep_sampling=7", "it takes uniform or weighted"),
            ("sample.sampler=7", "7"),
            ("sample.clip=7", "7: none, static"),
            ("data.image_size=0", "size"),
            ("train.freeze=up_blocks", "it takes a list, such as"),
            ("from.weights=new", "it takes averaged or raw"),
            ("model.diffusers=gelu", "it takes a table, such as"),
        ] {
            let error = refused(text);
            assert!(error.starts_with(&format!("set {text}: ")) && error.contains(takes), "{error}");
        }
    }
}
