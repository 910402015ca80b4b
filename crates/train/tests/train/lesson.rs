//! Steps towards what a teacher says.
use crate::common::{diffusion, network, options};
use candle_core::{Device, Tensor};
use duet_model::Purpose;
use duet_schedule::Prediction;
use duet_train::{Lesson, Trainer};

const TIMESTEPS: [usize; 6] = [999, 749, 499, 249, 499, 999];

fn trainer(prediction: Prediction) -> Trainer {
    Trainer::new(&network(false), &diffusion(prediction), &options(), &Device::Cpu).unwrap()
}

fn lesson() -> Lesson {
    let of = |scale: f64| {
        let values: Vec<f32> = (0..6 * 64).map(|i| ((i as f64 * scale).sin() * 0.9) as f32).collect();
        Tensor::from_vec(values, (6, 1, 8, 8), &Device::Cpu).unwrap()
    };
    Lesson { x: of(0.7), timesteps: TIMESTEPS.to_vec(), labels: Some(vec![0, 1, 0, 1, 0, 2]), x0: of(0.3) }
}

fn rows(tensor: &Tensor) -> Vec<Vec<f32>> {
    tensor.flatten_from(1).unwrap().to_vec2().unwrap()
}

#[test]
fn the_loss_is_the_error_of_x0_times_the_snr_plus_1_whatever_is_predicted() {
    for prediction in [Prediction::Epsilon, Prediction::V, Prediction::X0] {
        let (mut trainer, lesson) = (trainer(prediction), lesson());
        let t = Tensor::new(&TIMESTEPS.map(|t| t as u32), &Device::Cpu).unwrap();
        let labels = Tensor::new(lesson.labels.clone().unwrap(), &Device::Cpu).unwrap();
        let network = trainer.unet().snapshot(Purpose::Prediction).unwrap();
        let predicted = rows(&network.predict(&lesson.x, &t, Some(&labels)).unwrap());
        drop(network);
        let (x, x0) = (rows(&lesson.x), rows(&lesson.x0));
        let mut expected = 0.0;
        for (i, t) in TIMESTEPS.into_iter().enumerate() {
            let (a, b) = prediction.x0_coefficients(trainer.schedule().alpha_bar(t));
            let error = |p: usize| {
                let estimate = a * f64::from(x[i][p]) + b * f64::from(predicted[i][p]);
                (estimate - f64::from(x0[i][p])).powi(2)
            };
            expected += (trainer.schedule().snr(t) + 1.0) * (0..64).map(error).sum::<f64>() / 64.0 / 6.0;
        }
        let report = trainer.step_towards(&lesson).unwrap();
        assert_eq!((report.step, trainer.steps(), trainer.images_seen()), (1, 1, 6));
        assert!((report.loss / expected - 1.0).abs() < 1e-3, "{prediction}: {} {expected}", report.loss);
    }
}

#[test]
fn a_network_learns_its_lesson() {
    let (mut trainer, lesson) = (trainer(Prediction::V), lesson());
    let losses: Vec<f64> = (0..40).map(|_| trainer.step_towards(&lesson).unwrap().loss).collect();
    assert!(losses[39] < losses[0] / 2.0, "{losses:?}");
}

#[test]
fn lessons_that_do_not_fit_are_refused_and_change_nothing() {
    let mut trainer = trainer(Prediction::V);
    let mut refused = |change: &dyn Fn(&mut Lesson)| {
        let mut other = lesson();
        change(&mut other);
        trainer.step_towards(&other).unwrap_err().to_string()
    };
    assert!(refused(&|lesson| lesson.timesteps.truncate(5)).contains("5 timesteps"));
    assert!(refused(&|lesson| lesson.timesteps[2] = 1000).contains("timestep 1000"));
    assert!(refused(&|lesson| lesson.labels = None).contains("without labels"));
    assert!(refused(&|lesson| lesson.labels = Some(vec![3; 6])).contains("label 3"));
    assert!(refused(&|lesson| lesson.x0 = lesson.x0.narrow(2, 0, 4).unwrap()).contains("[6, 1, 4, 8]"));
    assert_eq!(trainer.steps(), 0);
}
