//! The keys of a `scheduler_config.json`, taken one by one.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::error::ScheduleError;

/// Python writes this for minus infinity. It is not JSON.
pub(crate) const MINUS_INFINITY: &str = "-Infinity";

/// The keys of the object that have not been read yet.
pub(crate) struct Keys(pub Map<String, Value>);

impl Keys {
    pub fn take<T: DeserializeOwned>(&mut self, key: &str, default: T) -> Result<T, ScheduleError> {
        match self.0.shift_remove(key) {
            Some(value) => {
                T::deserialize(&value).map_err(|e| ScheduleError::Json(format!("{key} = {value}: {e}")))
            }
            None => Ok(default),
        }
    }
}

pub(crate) fn unsupported(key: &'static str, value: &str, expected: &'static str) -> ScheduleError {
    ScheduleError::Unsupported { key, value: value.into(), expected }
}
