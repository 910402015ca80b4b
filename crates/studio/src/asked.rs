//! What a request asks for, read and checked before any work is done.

use crate::limits;
use crate::refusal::Refusal;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use duet_diffusion::data::Raster;
use duet_diffusion::{Drawing, Inputs};
use http::StatusCode;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// What notes and commands call the picture that a drawing begins with.
pub const PICTURE: &str = "picture.png";
/// And the one that says what is drawn anew.
pub const MASK: &str = "mask.png";

/// `{"drawing", …}` of every request that draws.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DrawBody {
    drawing: Map<String, Value>,
    image: Option<String>,
    mask: Option<String>,
    /// Draws so many images alone, the first ones.
    pub draft: Option<usize>,
    /// The image whose steps, or whose file, is asked for.
    pub index: Option<usize>,
    /// Which file is asked for.
    #[serde(default)]
    pub form: FileForm,
    client: Option<String>,
}

/// A file that `sample` writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileForm {
    /// The grid of all images.
    #[default]
    Png,
    /// The way from noise to all images.
    Apng,
    /// All images as tensors.
    Tensors,
    /// One image.
    Image,
}

/// `{"run", "picture"}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassifyBody {
    pub run: String,
    picture: String,
    client: Option<String>,
}

/// `{"picture"}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PictureBody {
    picture: String,
}

/// `{"name"}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NameBody {
    pub name: String,
}

/// Reads a body's JSON.
pub fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body)
        .map_err(|error| Refusal::bad(format!("the request is no such JSON: {error}")))
}

/// A drawing, and the pictures that it names in memory.
#[derive(Debug)]
pub struct Wanted {
    pub drawing: Drawing,
    pub inputs: Inputs,
}

impl DrawBody {
    /// The drawing with its pictures; `program` is what commands call the program.
    pub fn wanted(&self, program: &str) -> Result<Wanted, Refusal> {
        let mut drawing = drawing(&self.drawing, program)?;
        let mut inputs = Inputs::default();
        for (picture, name, option) in [(&self.image, PICTURE, "image"), (&self.mask, MASK, "mask")] {
            if let Some(picture) = picture {
                inputs = inputs.with(name, picture_bytes(picture).map_err(|refusal| refusal.of(option))?);
            }
        }
        drawing.image = self.image.as_ref().map(|_| PICTURE.into());
        drawing.mask = self.mask.as_ref().map(|_| MASK.into());
        drawing.check()?;
        Ok(Wanted { drawing, inputs })
    }

    /// Who asks; a newer request of the same client takes this one's place.
    pub fn client(&self) -> Result<Option<String>, Refusal> {
        checked_client(&self.client)
    }
}

impl ClassifyBody {
    /// The picture, decoded.
    pub fn raster(&self) -> Result<Raster, Refusal> {
        raster(&picture_bytes(&self.picture)?)
    }

    /// Who asks.
    pub fn client(&self) -> Result<Option<String>, Refusal> {
        checked_client(&self.client)
    }
}

impl PictureBody {
    /// The bytes of the picture's file, which may be none.
    pub fn bytes(&self) -> Result<Vec<u8>, Refusal> {
        from_base64(&self.picture)
    }
}

fn checked_client(client: &Option<String>) -> Result<Option<String>, Refusal> {
    match client {
        Some(name) if name.len() > limits::CLIENT => {
            Err(Refusal::beyond(format!("client: at most {} bytes", limits::CLIENT)))
        }
        client => Ok(client.clone()),
    }
}

/// A drawing of the options that are given, each read as its flag is.
fn drawing(given: &Map<String, Value>, program: &str) -> Result<Drawing, Refusal> {
    let usual = Drawing::default();
    let base = serde_json::to_value(&usual).map_err(|error| Refusal::bad(error.to_string()))?;
    let mut all = base.clone();
    for (key, value) in given {
        let bytes = value.as_str().map_or_else(|| value.to_string().len(), str::len);
        if bytes > limits::VALUE {
            return Err(Refusal::beyond(format!("{key}: {bytes} bytes, at most {}", limits::VALUE)).of(key));
        }
        if ["noise", "image", "mask"].contains(&key.as_str()) && !value.is_null() {
            let error = match key.as_str() {
                "noise" => format!("noise: files of noise are read by `{program} sample` alone"),
                _ => format!("{key}: names a file; send the picture itself, beside the drawing"),
            };
            return Err(Refusal::bad(error).of(key));
        }
        all[key] = read_option(&base, key, value)?;
    }
    serde_json::from_value(all).map_err(|error| Refusal::bad(error.to_string()))
}

/// The value of an option, which may be a number where a flag's text is one, and a text where the number is one.
fn read_option(base: &Value, key: &str, value: &Value) -> Result<Value, Refusal> {
    let fault = |value: &Value| {
        let mut alone = base.clone();
        alone[key] = value.clone();
        serde_json::from_value::<Drawing>(alone).err()
    };
    let Some(error) = fault(value) else { return Ok(value.clone()) };
    let other = match value {
        Value::String(text) => serde_json::from_str(text).ok().filter(Value::is_number),
        Value::Number(number) => Some(number.to_string().into()),
        _ => None,
    };
    if let Some(other) = other.filter(|other| fault(other).is_none()) {
        return Ok(other);
    }
    let error = error.to_string();
    let said = if error.starts_with(key) { error } else { format!("{key} {error}") };
    Err(Refusal::bad(said).of(key))
}

fn from_base64(text: &str) -> Result<Vec<u8>, Refusal> {
    let most = limits::PICTURE;
    if text.len() > most.div_ceil(3) * 4 {
        return Err(Refusal::beyond(format!("picture: at most {most} bytes")));
    }
    BASE64_STANDARD.decode(text).map_err(|error| Refusal::bad(format!("picture: no base64: {error}")))
}

/// The bytes of a picture that can be decoded.
fn picture_bytes(text: &str) -> Result<Vec<u8>, Refusal> {
    let bytes = from_base64(text)?;
    raster(&bytes)?;
    Ok(bytes)
}

fn raster(bytes: &[u8]) -> Result<Raster, Refusal> {
    let refuse = |error| Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, format!("picture: {error}"));
    Raster::decode(bytes, limits::PIXELS).map_err(refuse)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn wanted(body: Value) -> Result<Wanted, Refusal> {
        read::<DrawBody>(body.to_string().as_bytes())?.wanted("cargo xtask")
    }

    fn refused(body: Value) -> (u16, Option<String>, String) {
        let refusal = wanted(body).unwrap_err();
        (refusal.status.as_u16(), refusal.option, refusal.error)
    }

    #[test]
    fn what_is_left_out_is_as_the_program_has_it() {
        assert_eq!(wanted(json!({"drawing": {}})).unwrap().drawing, Drawing::default());
        let some =
            wanted(json!({"drawing": {"class": "3", "guidance": [2.0], "interval": "1:8", "rule": null}}))
                .unwrap();
        let expected = Drawing {
            class: "3".into(),
            guidance: vec![2.0],
            interval: Some("1:8".parse().unwrap()),
            ..Drawing::default()
        };
        assert_eq!(some.drawing, expected);
        let texts = json!({"steps": "9", "rescale": "0.5", "eta": "1", "history": 0.75, "scale": "3"});
        let numbers = json!({"steps": 9, "rescale": 0.5, "eta": 1, "history": "0.75", "scale": 3});
        let read = |drawing: Value| wanted(json!({"drawing": drawing})).unwrap().drawing;
        assert_eq!(read(texts), read(numbers));
    }

    #[test]
    fn a_fault_names_its_option() {
        for (option, value) in [
            ("interval", json!("9:1")),
            ("seeds", json!("x")),
            ("sampler", json!("none such")),
            ("steps", json!(-1)),
            ("guidance", json!("2")),
            ("colour", json!("red")),
            ("image", json!("/etc/passwd")),
            ("mask", json!("../mask.png")),
            ("noise", json!("noise.safetensors")),
            ("scale", json!(99)),
        ] {
            let (status, named, error) = refused(json!({"drawing": {option: value}}));
            assert_eq!((status, named.as_deref()), (400, Some(option)), "{error}");
            assert!(error.starts_with(option), "{error}");
        }
        let (_, _, error) = refused(json!({"drawing": {"noise": "noise.safetensors"}}));
        assert!(error.contains("`cargo xtask sample`"), "{error}");
        let (status, option, error) = refused(json!({"drawing": {"class": "x".repeat(5000)}}));
        assert_eq!((status, option.as_deref()), (413, Some("class")));
        assert!(error.contains("4096"), "{error}");
        let (_, option, error) = refused(json!({"drawing": {"strength": "0.5"}}));
        assert_eq!(option.as_deref(), Some("strength"), "{error}");
    }

    #[test]
    fn a_picture_is_one() {
        for picture in ["", "AAAA", "no base64!", "iVBORw0KGgo="] {
            let (status, option, error) = refused(json!({"drawing": {}, "image": picture}));
            assert!([400, 422].contains(&status), "{error}");
            assert_eq!(option.as_deref(), Some("image"));
        }
        let large = "A".repeat(12 << 20);
        let (status, _, error) = refused(json!({"drawing": {}, "image": large}));
        assert!(status == 413 && error.contains("8388608"), "{error}");
    }
}
