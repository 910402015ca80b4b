//! Few steps for many: lessons from a teacher's steps.

use crate::data_order::DataOrder;
use crate::error::TrainError;
use crate::lesson::Lesson;
use crate::trainer::Trainer;
use candle_core::Tensor;
use duet_random::Draws;
use duet_schedule::Steps;

/// Where a teacher goes from states at the beginnings of a student's N steps.
#[derive(Debug, Clone)]
pub struct Trajectories {
    /// The class of each of the m images; none for an unconditional network.
    pub labels: Option<Vec<u32>>,
    /// x at the beginning of each of the student's steps, N times (m, C, H, W).
    pub from: Vec<Tensor>,
    /// Where the teacher has gone from there at the end of that step, N times (m, C, H, W).
    pub to: Vec<Tensor>,
}

/// Teaches a trainer's network to go in one step where a teacher goes in several (progressive distillation, Salimans &
/// Ho 2022).
///
/// A DDIM step without noise goes from x at ᾱ to x' = √ᾱ' x̂_0 + σ'/σ (x - √ᾱ x̂_0), σ = √(1-ᾱ). It leads to the
/// teacher's x' with
///
///   x̂_0 = (x' - σ'/σ x)/(√ᾱ' - √ᾱ σ'/σ)
///
/// which is the lesson (their appendix G, for a teacher of any number of steps by any solver without noise).
///
/// The teacher's trajectories come in sets: its caller asks [`Distiller::wants`] before each step, and gives the set that is
/// wanted. Each pair of an image and a step of a set is seen once before one comes again. Which pairs a step sees is a
/// function of the seed and of the trainer's number of steps.
#[derive(Debug)]
pub struct Distiller {
    steps: Steps,
    refresh: u64,
    seed: u64,
    set: Option<Set>,
}

/// The set of trajectories that is learnt from.
#[derive(Debug)]
struct Set {
    number: u64,
    trajectories: Trajectories,
    order: DataOrder,
}

impl Distiller {
    /// For these steps of the student, with a new set of trajectories every `refresh` steps of the trainer, at least 1.
    pub fn new(steps: Steps, refresh: u64, seed: u64) -> Self {
        Self { steps, refresh: refresh.max(1), seed, set: None }
    }

    /// The student's steps.
    pub fn steps(&self) -> &Steps {
        &self.steps
    }

    /// The number of the set that the trainer's next step learns from, if it is not the one that was given last; and the
    /// step after which it begins.
    pub fn wants(&self, trainer: &Trainer) -> Option<(u64, u64)> {
        let number = trainer.steps() / self.refresh;
        let is_there = self.set.as_ref().is_some_and(|set| set.number == number);
        (!is_there).then_some((number, number * self.refresh))
    }

    /// Learns from this set from now on.
    ///
    /// Errors: not one tensor for each of the student's steps; tensors of different shapes; not one label for each image;
    /// no image.
    pub fn give(&mut self, number: u64, trajectories: Trajectories) -> Result<(), TrainError> {
        let refuse = |message: String| Err(TrainError::Option(message));
        let Trajectories { labels, from, to } = &trajectories;
        let steps = self.steps.len();
        if [from.len(), to.len()] != [steps; 2] {
            let (from, to) = (from.len(), to.len());
            return refuse(format!(
                "trajectories from {from} and to {to} states, for a student of {steps} steps"
            ));
        }
        let count = from[0].dims4()?.0;
        if let Some(other) = from.iter().chain(to).find(|state| state.dims() != from[0].dims()) {
            let (first, other) = (from[0].dims(), other.dims());
            return refuse(format!("states of trajectories are {first:?} and {other:?}: they must be alike"));
        }
        let labelled = labels.as_ref().map_or(count, Vec::len);
        if count == 0 || labelled != count {
            return refuse(format!("{labelled} labels for {count} trajectories, at least one"));
        }
        let seed = Draws::new(self.seed, "order of lessons", number).below(u64::MAX);
        let order = DataOrder::new(seed, (count * steps) as u32);
        self.set = Some(Set { number, trajectories, order });
        Ok(())
    }

    /// What the trainer's next step learns from ([`Trainer::step_towards`]). Errors: another set is wanted.
    pub fn lesson(&mut self, trainer: &Trainer) -> Result<Lesson, TrainError> {
        if let Some((number, _)) = self.wants(trainer) {
            let steps = trainer.steps();
            return Err(TrainError::Option(format!(
                "the step after {steps} learns from set {number}, which is missing"
            )));
        }
        let (refresh, count) = (self.refresh, trainer.images_per_step());
        let first = trainer.steps() % refresh * count as u64;
        let Some(set) = &mut self.set else {
            return Err(TrainError::Option("no set of trajectories".into()));
        };
        set.lesson(&self.steps, first, count)
    }
}

impl Set {
    /// `count` pairs of an image and a step, from the `first`-th pair on that is seen of this set.
    fn lesson(&mut self, steps: &Steps, first: u64, count: usize) -> Result<Lesson, TrainError> {
        let Self { trajectories: Trajectories { labels, from, to }, order, .. } = self;
        let pairs = (first..first + count as u64).map(|index| order.image(index));
        let pairs: Vec<(usize, usize)> = pairs.map(|pair| (pair / steps.len(), pair % steps.len())).collect();
        let state = |states: &[Tensor], image, step: usize| states[step].get(image);
        let (mut x, mut x0) = (Vec::new(), Vec::new());
        for &(image, step) in &pairs {
            let (start, end) = (state(from, image, step)?, state(to, image, step)?);
            let (of_end, of_start) = x0_coefficients(steps.alpha_bars()[step], steps.alpha_bars()[step + 1]);
            x0.push(((end * of_end)? + (&start * of_start)?)?);
            x.push(start);
        }
        let label = |labels: &Vec<u32>| pairs.iter().map(|&(image, _)| labels[image]).collect();
        Ok(Lesson {
            x: Tensor::stack(&x, 0)?,
            timesteps: pairs.iter().map(|&(_, step)| steps.timesteps()[step]).collect(),
            labels: labels.as_ref().map(label),
            x0: Tensor::stack(&x0, 0)?,
        })
    }
}

/// (a, b) in x̂_0 = a x' + b x for the step from ᾱ to ᾱ', which is larger.
fn x0_coefficients(alpha_bar: f64, next: f64) -> (f64, f64) {
    // σ'/σ
    let ratio = ((1.0 - next) / (1.0 - alpha_bar)).sqrt();
    let scale = next.sqrt() - alpha_bar.sqrt() * ratio;
    (1.0 / scale, -ratio / scale)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;
    use duet_schedule::{BetaSchedule, Ddim, NoiseSchedule, Solver, Spacing};
    use std::collections::BTreeSet;

    /// Three images of two steps, all states different.
    fn distiller() -> Distiller {
        let schedule = NoiseSchedule::new(&BetaSchedule::Linear, 1000).unwrap();
        let timesteps = Spacing::Trailing.timesteps(2, &schedule).unwrap();
        let mut distiller = Distiller::new(Steps::new(&schedule, &timesteps).unwrap(), 4, 7);
        let state = |n: u32| {
            Tensor::arange(n as f32, n as f32 + 12.0, &Device::Cpu).unwrap().reshape((3, 1, 2, 2)).unwrap()
        };
        let trajectories = Trajectories {
            labels: Some(vec![0, 1, 2]),
            from: vec![state(0), state(20)],
            to: vec![state(40), state(60)],
        };
        distiller.give(0, trajectories).unwrap();
        distiller
    }

    #[test]
    fn a_ddim_step_from_a_lesson_leads_where_the_teacher_went() {
        let mut distiller = distiller();
        let steps = distiller.steps.clone();
        let table = Solver::from(Ddim { eta: 0.0 }).table(steps.clone()).unwrap();
        let set = distiller.set.as_mut().unwrap();
        let lesson = set.lesson(&steps, 0, 6).unwrap();
        for i in 0..6 {
            let step = steps.timesteps().iter().position(|&t| t == lesson.timesteps[i]).unwrap();
            let image = lesson.labels.as_ref().unwrap()[i] as usize;
            let (alpha_bar, update) = (steps.alpha_bars()[step], &table.updates()[step]);
            let values = |tensor: &Tensor, i: usize| -> Vec<f32> {
                tensor.get(i).unwrap().flatten_all().unwrap().to_vec1().unwrap()
            };
            let (x, x0) = (values(&lesson.x, i), values(&lesson.x0, i));
            let end = values(&set.trajectories.to[step], image);
            for ((x, x0), end) in x.into_iter().zip(x0).zip(end) {
                let (x, x0) = (f64::from(x), f64::from(x0));
                let epsilon = (x - alpha_bar.sqrt() * x0) / (1.0 - alpha_bar).sqrt();
                let led = update.x0[0] * x0 + update.epsilon[0] * epsilon;
                assert!((led - f64::from(end)).abs() < 1e-3, "{led} {end}");
            }
        }
    }

    #[test]
    fn every_pair_of_an_image_and_a_step_is_seen_before_one_comes_again() {
        let mut distiller = distiller();
        let steps = distiller.steps.clone();
        let set = distiller.set.as_mut().unwrap();
        for epoch in 0..3 {
            let lesson = set.lesson(&steps, 6 * epoch, 6).unwrap();
            let pairs: BTreeSet<_> = lesson.labels.unwrap().into_iter().zip(lesson.timesteps).collect();
            assert_eq!(pairs.len(), 6);
        }
    }

    #[test]
    fn sets_that_do_not_fit_the_student_are_refused() {
        let mut distiller = distiller();
        let good = distiller.set.take().unwrap().trajectories;
        let mut refused = |change: &dyn Fn(&mut Trajectories)| {
            let mut other = good.clone();
            change(&mut other);
            distiller.give(0, other).unwrap_err().to_string()
        };
        assert!(refused(&|set| drop(set.to.pop())).contains("from 2 and to 1"));
        assert!(refused(&|set| set.to[1] = set.to[1].narrow(0, 0, 2).unwrap()).contains("[2, 1, 2, 2]"));
        assert!(refused(&|set| set.labels = Some(vec![0])).contains("1 labels for 3"));
    }
}
