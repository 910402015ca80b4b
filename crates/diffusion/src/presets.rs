//! The presets of `train`: what each is made for, and which of them fits a data set.

use crate::error::{Result, Within, option};
use duet_data::Splits;
use toml::{Table, Value};

/// The preset that every other is told by its differences from.
pub(crate) const DIGITS: &str = include_str!("../presets/digits.toml");
/// Grey images up to this side are what the presets of digits are made for.
pub(crate) const SMALL: usize = 32;

/// A named configuration that was chosen by measurement.
#[derive(Debug)]
pub struct Preset {
    /// As `--preset` takes it.
    pub name: &'static str,
    /// What it reached, on which images, and in which time: measured.
    pub reached: &'static str,
    /// Whether it is made for colour, or for sides of more than 32 pixels.
    pub(crate) colour: bool,
    /// What differs from [`DIGITS`].
    differs: &'static str,
}

/// Every preset; the first of those that fit a data set is taken.
pub static PRESETS: [Preset; 4] = [
    Preset {
        name: "digits",
        reached: "on the embedded digits, a classifier takes 99.1 % of its samples for their class, after some \
                  six minutes on two cores",
        colour: false,
        differs: "",
    },
    Preset {
        name: "digits-long",
        reached: "on the embedded digits, a classifier takes 99.7 % of its samples for their class, after some \
                  half an hour on two cores",
        colour: false,
        differs: include_str!("../presets/digits-long.toml"),
    },
    Preset {
        name: "original",
        reached: "on the embedded digits, a classifier takes 99.2 % of its samples for their class, after some \
                  seven minutes on two cores",
        colour: false,
        differs: include_str!("../presets/original.toml"),
    },
    Preset {
        name: "colour",
        reached: "on 1,718 emoji of 32 pixels in nine classes, a classifier that is right on 64 % of real ones takes \
                  63 % of its samples for their class, after some 13 minutes on two fast cores, or 44 on busy ones",
        colour: true,
        differs: include_str!("../presets/colour.toml"),
    },
];

impl Preset {
    /// The preset of this name.
    ///
    /// # Errors
    /// Where there is no such preset.
    pub fn named(name: &str) -> Result<&'static Self> {
        PRESETS.iter().find(|preset| preset.name == name).ok_or_else(|| {
            let names = PRESETS.each_ref().map(|preset| preset.name).join(", ");
            option("preset", format!(" {name}: there are {names}"))
        })
    }

    /// The preset that is made for such images: by their channels and their sides.
    pub fn fitting(data: &Splits) -> &'static Self {
        PRESETS.iter().find(|preset| preset.fits(data)).unwrap_or(&PRESETS[0])
    }

    /// Which images it is made for, in words.
    pub fn made_for(&self) -> &'static str {
        match self.colour {
            false => "grey images of up to 32 pixels a side",
            true => "images in colour, or of more than 32 pixels a side",
        }
    }

    /// Whether it is made for such images.
    pub fn fits(&self, data: &Splits) -> bool {
        let shape = data.train.shape();
        let colour = shape.channels > 1 || shape.height.max(shape.width) > SMALL;
        self.colour == colour
    }

    /// All of its settings.
    pub(crate) fn table(&self) -> Result<Table> {
        let mut table = DIGITS.parse::<Table>().within("the preset digits")?;
        merge(&mut table, self.differs.parse().within(format!("the preset {}", self.name))?);
        Ok(table)
    }
}

/// Values of `over` replace those of `base`, table by table.
pub(crate) fn merge(base: &mut Table, over: Table) {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (Some(Value::Table(base)), Value::Table(over)) => merge(base, over),
            (_, value) => drop(base.insert(key, value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use duet_data::{Dataset, Shape};

    fn of(channels: usize, height: usize, width: usize) -> Splits {
        let shape = Shape { channels, height, width };
        let images = Dataset::from_fn(shape, vec!["one".into()], 2, |_, _| 0).unwrap();
        Splits::new("images", images.clone(), images).unwrap()
    }

    #[test]
    fn grey_and_small_images_get_digits_and_all_others_colour() {
        for (shape, name) in [
            ((1, 28, 28), "digits"),
            ((1, 32, 32), "digits"),
            ((1, 8, 32), "digits"),
            ((1, 36, 36), "colour"),
            ((1, 28, 64), "colour"),
            ((3, 8, 8), "colour"),
            ((3, 64, 64), "colour"),
        ] {
            let data = of(shape.0, shape.1, shape.2);
            assert_eq!(Preset::fitting(&data).name, name, "{shape:?}");
            for preset in &PRESETS {
                assert_eq!(preset.fits(&data), (preset.name == "colour") == (name == "colour"), "{shape:?}");
            }
        }
    }

    #[test]
    fn the_embedded_digits_keep_their_preset() {
        let digits = duet_data::digits().unwrap();
        assert_eq!(Preset::fitting(&digits).name, "digits");
        assert!(Preset::fitting(&digits).differs.is_empty());
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_names() {
        let error = Preset::named("cats").unwrap_err().chain();
        assert!(error.contains("cats: there are digits, digits-long, original, colour"), "{error}");
    }
}
