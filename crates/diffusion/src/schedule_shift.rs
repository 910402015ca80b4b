//! More noise for larger images.

use crate::config::RunConfig;
use crate::presets::{Preset, SMALL};
use duet_data::Splits;
use duet_train::LossWeighting;

impl Preset {
    /// Shifts a configuration of this preset to noise that hides as much of images of more than 32 pixels a side as it
    /// hides at 32, where the preset `colour` was measured: SNR times (32/side)² (Hoogeboom et al. 2023, equation 3),
    /// and a log-normal weighting moved along, by ln(side/32).
    ///
    /// The side of a rectangle is that of a square with as many pixels. Nothing changes at up to 32 pixels, with the
    /// other presets, where the configuration has an `snr_scale`, and where it begins from a model, whose schedule it has.
    pub fn shift_schedule(&self, config: &mut RunConfig, data: &Splits) {
        let shape = data.train.shape();
        let ratio = ((shape.height * shape.width) as f64).sqrt() / SMALL as f64;
        if !self.colour || ratio <= 1.0 || config.diffusion.snr_scale.is_some() || config.from.is_some() {
            return;
        }
        config.diffusion.snr_scale = Some(ratio.powi(-2));
        if let LossWeighting::LogNormal { mean, .. } = &mut config.train.loss_weighting {
            // Three decimals are read at a glance.
            *mean = ((*mean + ratio.ln()) * 1e3).round() / 1e3;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use duet_data::{Dataset, Shape};
    use duet_train::LossWeighting;

    fn shifted(
        preset: &str,
        (channels, height, width): (usize, usize, usize),
        own: Option<f64>,
    ) -> RunConfig {
        let shape = Shape { channels, height, width };
        let images = Dataset::from_fn(shape, vec!["one".into()], 2, |_, _| 0).unwrap();
        let data = Splits::new("images", images.clone(), images).unwrap();
        let mut config = RunConfig::preset(preset).unwrap();
        config.diffusion.snr_scale = own;
        Preset::named(preset).unwrap().shift_schedule(&mut config, &data);
        config
    }

    #[test]
    fn twice_the_side_has_a_quarter_of_the_snr() {
        for shape in [(3, 64, 64), (1, 64, 64), (3, 32, 128)] {
            let config = shifted("colour", shape, None);
            assert_eq!(config.diffusion.snr_scale, Some(0.25), "{shape:?}");
            assert_eq!(config.train.loss_weighting, LossWeighting::LogNormal { mean: 1.293, deviation: 0.8 });
            config.validate().unwrap();
        }
    }

    #[test]
    fn small_images_other_presets_and_own_scales_keep_their_schedule() {
        for (preset, shape, own) in [
            ("colour", (3, 32, 32), None),
            ("colour", (3, 16, 48), None),
            ("digits", (1, 64, 64), None),
            ("colour", (3, 64, 64), Some(1.0)),
        ] {
            let plain = RunConfig::preset(preset).unwrap();
            let config = shifted(preset, shape, own);
            assert_eq!(config.diffusion.snr_scale, own, "{preset} {shape:?}");
            assert_eq!(config.train.loss_weighting, plain.train.loss_weighting);
        }
    }
}
