//! Measures of a denoiser on normal data, whose exact values are known.
use candle_core::{Device, Tensor};
use duet_eval::{Denoiser, EvalError, Labelled, bits_per_dimension, classify_by_denoising, denoising_loss};
use duet_random::Draws;
use duet_schedule::{BetaSchedule, NoiseSchedule, Prediction};

const KINDS: [Prediction; 3] = [Prediction::Epsilon, Prediction::V, Prediction::X0];

fn schedule() -> NoiseSchedule {
    NoiseSchedule::new(&BetaSchedule::Linear, 1000).unwrap()
}

/// Images (n, 1, 8, 8) of independent N(mean, s²) values, rounded to the 256 levels of a pixel.
fn images(count: usize, mean: f64, s: f64) -> Tensor {
    let mut draws = Draws::new(0, "images", 0);
    let level = |v: f64| (((v + 1.0) * 127.5).round().clamp(0.0, 255.0) / 127.5 - 1.0) as f32;
    let values = (0..count * 64).map(|_| level(mean + s * draws.normal())).collect();
    Tensor::from_vec(values, (count, 1, 8, 8), &Device::Cpu).unwrap()
}

/// The best denoiser of N(mean of the label, s²): x̂_0 = m + √ᾱ s²/(ᾱ s² + 1-ᾱ) (x - √ᾱ m), as `kind`
/// predicts it.
fn best(
    kind: Prediction,
    schedule: NoiseSchedule,
    (means, s): (&[f64], f64),
) -> impl FnMut(&Tensor, &Tensor, Option<&Tensor>) -> Result<Tensor, Box<dyn std::error::Error + Send + Sync>>
{
    let means = means.to_vec();
    move |x, t, labels| {
        let times = t.to_vec1::<u32>()?;
        let labels = labels.map_or(Ok(vec![0; times.len()]), |labels| labels.to_vec1::<u32>())?;
        let mut values = x.flatten_all()?.to_vec1::<f32>()?;
        for ((values, t), label) in values.chunks_mut(64).zip(times).zip(labels) {
            let a = schedule.alpha_bar(t as usize);
            let m = means[label as usize];
            let (of_x, of_x0) = kind.of_x0_coefficients(a);
            for v in values {
                let x = f64::from(*v);
                let x0 = m + a.sqrt() * s * s / (a * s * s + 1.0 - a) * (x - a.sqrt() * m);
                *v = (of_x * x + of_x0 * x0) as f32;
            }
        }
        Ok(Tensor::from_vec(values, x.shape(), &Device::Cpu)?)
    }
}

/// Of normal data, E (ε - ε̂)² = ᾱ s²/(ᾱ s² + 1-ᾱ).
#[test]
fn the_loss_of_the_best_denoiser_is_the_posterior_variance() {
    let (schedule, s, images) = (schedule(), 0.4, images(200, 0.0, 0.4));
    for kind in KINDS {
        let mut predict = best(kind, schedule.clone(), (&[0.0], s));
        let mut denoiser =
            Denoiser { schedule: &schedule, prediction: kind, predict: &mut predict, batch: 64 };
        let data = Labelled { images: &images, labels: None };
        for found in denoising_loss(&mut denoiser, data, &[50, 300, 600, 999], 0).unwrap() {
            let a = schedule.alpha_bar(found.t);
            let expected = a * s * s / (a * s * s + 1.0 - a);
            assert!((found.loss / expected - 1.0).abs() < 0.05, "{kind} {found:?}, expected {expected}");
        }
    }
}

/// The entropy of N(0, s²) rounded to steps of 2/255 is log2(s √(2πe) / (2/255)) bits; the bound lies a
/// little above, if the steps are many and short: here ln SNR falls evenly from 10^4 to 10^-5.
#[test]
fn the_bound_of_the_best_denoiser_is_the_datas_entropy() {
    let snr = |t: usize| 10f64.powf(4.0 - 9.0 * t as f64 / 3999.0);
    let alpha_bars = (0..4000).map(|t| snr(t) / (1.0 + snr(t))).collect();
    let schedule = NoiseSchedule::from_alphas_cumprod(alpha_bars).unwrap();
    let images = images(300, 0.0, 0.3);
    let entropy = (0.3 * (2.0 * std::f64::consts::PI * std::f64::consts::E).sqrt() * 127.5).log2();
    for kind in KINDS {
        let mut predict = best(kind, schedule.clone(), (&[0.0], 0.3));
        let mut denoiser =
            Denoiser { schedule: &schedule, prediction: kind, predict: &mut predict, batch: 1000 };
        let data = Labelled { images: &images, labels: None };
        let bits = bits_per_dimension(&mut denoiser, data, 40, 0).unwrap();
        assert!((bits.total - bits.prior - bits.diffusion - bits.reconstruction).abs() < 1e-9);
        assert!((-0.03..0.08).contains(&(bits.total - entropy)), "{kind} {bits:?}, entropy {entropy}");
        assert!(bits.error < 0.03, "{bits:?}");
    }
    // A denoiser that expects wider data needs more bits.
    let mut predict = best(Prediction::V, schedule.clone(), (&[0.0], 0.9));
    let mut denoiser =
        Denoiser { schedule: &schedule, prediction: Prediction::V, predict: &mut predict, batch: 1000 };
    let data = Labelled { images: &images, labels: None };
    assert!(bits_per_dimension(&mut denoiser, data, 40, 0).unwrap().total > entropy + 0.2);
}

/// Pixels lie in [-1, 1], so the part of x̂_0 outside costs no bits.
#[test]
fn what_is_seen_beyond_the_pixels_range_costs_no_bits() {
    let (schedule, images) = (schedule(), images(20, 0.9, 0.3));
    let bits = |x0: f64| {
        let mut predict = |x: &Tensor, _: &Tensor, _: Option<&Tensor>| Ok(x.affine(0.0, x0)?);
        let mut denoiser =
            Denoiser { schedule: &schedule, prediction: Prediction::X0, predict: &mut predict, batch: 100 };
        bits_per_dimension(&mut denoiser, Labelled { images: &images, labels: None }, 20, 0).unwrap()
    };
    assert_eq!(bits(5.0), bits(1.0));
    assert!(bits(-1.0).total > bits(1.0).total);
}

#[test]
fn a_denoiser_knows_the_classes_it_explains_best() {
    let (schedule, means) = (schedule(), [-0.6, -0.2, 0.2, 0.6]);
    let parts: Vec<Tensor> = means.iter().map(|&mean| images(5, mean, 0.1)).collect();
    let images = Tensor::cat(&parts, 0).unwrap();
    let expected: Vec<u32> = (0..20).map(|i| i / 5).collect();
    let mut predict = best(Prediction::V, schedule.clone(), (&means, 0.1));
    let mut denoiser =
        Denoiser { schedule: &schedule, prediction: Prediction::V, predict: &mut predict, batch: 50 };
    let data = Labelled { images: &images, labels: None };
    let found = classify_by_denoising(&mut denoiser, data, 4, &[4, 8], 0).unwrap();
    assert_eq!(found.classes, expected);
    for (probabilities, class) in found.probabilities.iter().zip(&found.classes) {
        assert!((probabilities.iter().sum::<f64>() - 1.0).abs() < 1e-12 && probabilities.len() == 4);
        assert!(probabilities.iter().all(|p| *p <= probabilities[*class as usize] && *p >= 0.0));
    }
    // Four classes four times, then two of them eight times.
    assert_eq!(found.evaluations, 32.0);
}

#[test]
fn what_cannot_be_measured_is_refused() {
    let (schedule, images) = (schedule(), images(3, 0.0, 0.3));
    let mut predict = best(Prediction::V, schedule.clone(), (&[0.0], 0.3));
    let mut denoiser =
        Denoiser { schedule: &schedule, prediction: Prediction::V, predict: &mut predict, batch: 0 };
    let data = Labelled { images: &images, labels: Some(&[0, 0]) };
    assert!(matches!(denoising_loss(&mut denoiser, data, &[3], 0), Err(EvalError::Counts { .. })));
    let data = Labelled { images: &images, labels: None };
    assert!(denoising_loss(&mut denoiser, data, &[1000], 0).is_err());
    assert!(bits_per_dimension(&mut denoiser, data, 0, 0).is_err());
    assert!(classify_by_denoising(&mut denoiser, data, 3, &[], 0).is_err());
    let mut short = |x: &Tensor, _: &Tensor, _: Option<&Tensor>| Ok(x.narrow(0, 0, 1)?);
    let mut denoiser =
        Denoiser { schedule: &schedule, prediction: Prediction::V, predict: &mut short, batch: 8 };
    assert!(matches!(denoising_loss(&mut denoiser, data, &[3], 0), Err(EvalError::Counts { .. })));
}
