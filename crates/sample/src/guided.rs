//! Turns the networks' answers into the estimates (x̂_0, ε̂) of a step.

use crate::answers::{Answers, Pass};
use crate::error::SampleError;
use crate::estimate::Estimate;
use crate::guidance::{Away, Guidance, Renoise};
use crate::labels::Labels;
use crate::per_image::column;
use crate::place::Place;
use crate::question::{Networks, Question, ask};
use crate::rescale;
use crate::rule::{Guided, PredictionPair, Terms};
use crate::weight::WeightSchedule;
use candle_core::Tensor;
use duet_random::Draws;
use duet_schedule::{Clip, Prediction};

/// A batch at one place of its trajectory.
#[derive(Debug, Clone, Copy)]
pub struct State<'a> {
    /// x_t, (n, C, H, W).
    pub x: &'a Tensor,
    /// What each image will show; none for an unconditional network.
    pub labels: Option<&'a Labels>,
    /// The seed of each image, for random draws.
    pub seeds: &'a [u64],
    /// The place of the step.
    pub place: Place,
}

/// How a network's predictions are read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reading {
    /// What the network predicts.
    pub prediction: Prediction,
    /// What is done to x̂_0.
    pub clip: Clip,
}

/// What guidance remembers from step to step. Each trajectory starts with a new one.
#[derive(Debug, Clone, Default)]
pub struct GuidanceMemory {
    /// What the rule remembers of steps that took both passes, such as APG's momentum; the shape of x.
    of_rule: Option<Tensor>,
    /// x̂_0 of the previous step, for history guidance; the shape of x.
    before: Option<Tensor>,
}

impl Guidance {
    /// The guided estimate of a batch. One call of the network makes every prediction that matters: first
    /// those for the classes, then those that guidance pushes away from. The guide makes the latter in a
    /// call of its own if there is one.
    ///
    /// Errors: weights that are not finite, or not one for each image; not one label and one seed for each
    /// image; a weight other than 1 and no prediction to push away from; with CFG++ a weight outside 0 to
    /// 1; a list of weights whose length is not the number of intervals; the network's errors.
    pub fn estimate(
        &self,
        state: State<'_>,
        reading: Reading,
        memory: &mut GuidanceMemory,
        networks: &mut Networks<'_>,
    ) -> Result<Estimate, SampleError> {
        Ok(self.answered(state, reading, memory, networks)?.0)
    }

    /// The same, and the networks' answers that it was made of.
    pub(crate) fn answered(
        &self,
        state: State<'_>,
        reading: Reading,
        memory: &mut GuidanceMemory,
        networks: &mut Networks<'_>,
    ) -> Result<(Estimate, Answers), SampleError> {
        let State { x, labels, place, .. } = state;
        let Reading { prediction, clip } = reading;
        let (passes, weights) = self.passes(state)?;
        let all = |wanted: Pass| -> Vec<u32> {
            let images = passes.iter().enumerate().filter(|(_, pass)| [wanted, Pass::Both].contains(pass));
            images.map(|(i, _)| i as u32).collect()
        };
        let given = Question::of_labels(&all(Pass::Given), labels);
        let away_images = all(Pass::Away);
        let away = self.away_question(&away_images, state)?;
        let at = (x, place.timestep);
        let (given, free) = match &mut networks.guide {
            Some(guide) if self.away.is_some_and(Away::is_guide) => {
                let ([given], [free]) =
                    (ask([&given], at, networks.denoise)?, ask([&away], at, &mut **guide)?);
                (given, free)
            }
            None if self.away.is_some_and(Away::is_guide) && !away_images.is_empty() => {
                return Err(SampleError::Setting("guidance by another model, which is not there".into()));
            }
            _ => ask([&given, &away], at, networks.denoise)?.into(),
        };
        let answers = Answers::new(given, free.clone(), &passes);
        let guided = self.combined(&answers, &weights, state, prediction, memory)?;
        let estimate = Estimate::new(x, &guided, prediction, place.alpha_bar, clip)?;
        let estimate = match self.history.extrapolated(&estimate, place, &mut memory.before)? {
            Some(x0) => Estimate::of_x0(x, x0, place.alpha_bar, clip)?,
            None => estimate,
        };
        let estimate = match free.filter(|_| self.renoises_with_null(state)) {
            Some(free) => {
                let of_free = Estimate::new(x, &free, prediction, place.alpha_bar, Clip::No)?;
                Estimate { epsilon: of_free.epsilon, ..estimate }
            }
            None => estimate,
        };
        Ok((estimate, answers))
    }

    /// The x from which a sampler steps: x itself, or √ᾱ x̂_0 + √(1-ᾱ) ε̂ if the step puts another noise
    /// back.
    pub(crate) fn explained(
        &self,
        x: &Tensor,
        estimate: Option<&Estimate>,
        alpha_bar: f64,
    ) -> Result<Tensor, SampleError> {
        match estimate.filter(|_| self.renoise == Renoise::Null) {
            Some(Estimate { x0, epsilon }) => {
                Ok(((x0 * alpha_bar.sqrt())? + (epsilon * (1.0 - alpha_bar).sqrt())?)?)
            }
            None => Ok(x.clone()),
        }
    }

    /// Whether this step puts the null prediction's noise back; the weight plays no part.
    fn renoises_with_null(&self, state: State<'_>) -> bool {
        self.renoise == Renoise::Null && self.has_two_answers(state) && self.applies_at(state.place)
    }

    fn applies_at(&self, place: Place) -> bool {
        self.interval.contains(place.alpha_bar)
    }

    /// Whether there are two predictions. For an unconditional network, only another network can make the
    /// second.
    fn has_two_answers(&self, state: State<'_>) -> bool {
        state.labels.is_some() || self.away.is_some_and(Away::is_guide)
    }

    /// The predictions that each image needs, and its weight.
    fn passes(&self, state: State<'_>) -> Result<(Vec<Pass>, Vec<f64>), SampleError> {
        let State { x, labels, seeds, place } = state;
        let images = x.dim(0)?;
        self.check_weights(place)?;
        let fits = |what: &str, count: usize| match count == images {
            true => Ok(()),
            false => Err(SampleError::Setting(format!("{count} {what} for {images} images"))),
        };
        fits("seeds", seeds.len())?;
        fits("labels", labels.map_or(images, Labels::len))?;
        let weights = match self.weights[..] {
            [weight] => vec![weight; images],
            _ => self.weights.clone(),
        };
        fits("guidance weights", weights.len())?;
        let inside = self.applies_at(place);
        let first = self.renoise.first_weight();
        let at = |&w: &f64| if inside { self.schedule.at((first, w), place) } else { Ok(1.0) };
        let weights = weights.iter().map(at).collect::<Result<Vec<f64>, _>>()?;
        let null_counts = self.renoises_with_null(state);
        let null_is_enough = self.rule.is_free_at_zero() && self.rescale.phi() == 0.0;
        let pass = |&w: &f64| match w {
            _ if !self.has_two_answers(state) => Pass::Given,
            1.0 if !null_counts => Pass::Given,
            // The other rules use the conditional prediction at every weight.
            0.0 if null_is_enough => Pass::Away,
            _ => Pass::Both,
        };
        Ok((weights.iter().map(pass).collect(), weights))
    }

    /// Checks the weights of all steps at the first one.
    fn check_weights(&self, place: Place) -> Result<(), SampleError> {
        let listed = match &self.schedule {
            WeightSchedule::List(list) => list.as_slice(),
            WeightSchedule::Constant | WeightSchedule::Linear | WeightSchedule::Cosine => &[],
        };
        let (within, range) = match self.renoise {
            Renoise::Guided => (f64::MIN..=f64::MAX, "must be a finite number"),
            Renoise::Null => (0.0..=1.0, "with CFG++ it is 0 to 1"),
        };
        match self.weights.iter().chain(listed).find(|w| !within.contains(w)) {
            Some(w) => Err(SampleError::Setting(format!("guidance {w}: {range}"))),
            None => self.schedule.check_for(place),
        }
    }

    fn away_question(&self, images: &[u32], state: State<'_>) -> Result<Question, SampleError> {
        let State { labels, seeds, place, .. } = state;
        Ok(match self.away {
            _ if images.is_empty() => Question::default(),
            Some(Away::Label(label) | Away::GuideLabel(label)) => Question::of_label(images, |_| label),
            Some(Away::Guide) => Question::of_labels(images, labels),
            Some(Away::Independent { classes: 0 }) => {
                return Err(SampleError::Setting(
                    "guidance by independent conditions: there are 0 classes".into(),
                ));
            }
            Some(Away::Independent { classes }) => Question::of_label(images, |i| {
                let mut draws = Draws::new(seeds[i], "independent condition", place.interval as u64);
                draws.below(classes.into()) as u32
            }),
            None => {
                return Err(SampleError::Setting(format!(
                    "guidance {}: the model has no null label, so only 1 works, or guidance by independent \
                     conditions or by another model",
                    self.weights[0]
                )));
            }
        })
    }

    /// One prediction for each image.
    fn combined(
        &self,
        answers: &Answers,
        weights: &[f64],
        state: State<'_>,
        prediction: Prediction,
        memory: &mut GuidanceMemory,
    ) -> Result<Tensor, SampleError> {
        let Some((both, given, free)) = answers.pairs()? else { return answers.in_order(None) };
        let weights: Vec<f64> = both.iter().map(|&i| weights[i as usize]).collect();
        let weights = column(&weights, &given)?;
        let images = Tensor::new(both.as_slice(), state.x.device())?;
        let at = At { x: state.x.index_select(&images, 0)?, prediction, alpha_bar: state.place.alpha_bar };
        let before = memory.of_rule.as_ref().map(|all| all.index_select(&images, 0)).transpose()?;
        let terms = self.rule.terms();
        let Guided { prediction: guided, remembered } = self.rule.guided(PredictionPair {
            given: &at.read(&given, terms)?,
            free: &at.read(&free, terms)?,
            weights: &weights,
            place: state.place,
            before: before.as_ref(),
        })?;
        if let Some(remembered) = remembered.filter(|_| !state.place.at_end) {
            memory.keep(state.x, &both, remembered)?;
        }
        let guided = at.written(&guided, terms)?;
        let guided = match self.rescale.phi() {
            0.0 => guided,
            phi => at.of_v(&rescale::rescaled(&at.as_v(&guided)?, &at.as_v(&given)?, phi)?)?,
        };
        answers.in_order(Some(guided))
    }
}

/// The place of some images, to convert predictions: a rule that is not affine must not depend on what the
/// network predicts.
struct At {
    x: Tensor,
    prediction: Prediction,
    alpha_bar: f64,
}

impl At {
    fn as_v(&self, p: &Tensor) -> candle_core::Result<Tensor> {
        self.mixed(p, self.prediction.v_coefficients(self.alpha_bar))
    }

    fn of_v(&self, v: &Tensor) -> candle_core::Result<Tensor> {
        self.mixed(v, self.prediction.of_v_coefficients(self.alpha_bar))
    }

    /// Converts the network's prediction to these terms.
    fn read(&self, p: &Tensor, terms: Terms) -> candle_core::Result<Tensor> {
        match terms {
            Terms::Predicted => Ok(p.clone()),
            Terms::V => self.as_v(p),
            Terms::X0 => self.mixed(p, self.prediction.x0_coefficients(self.alpha_bar)),
        }
    }

    /// Converts a value in these terms to what the network predicts.
    fn written(&self, said: &Tensor, terms: Terms) -> candle_core::Result<Tensor> {
        match terms {
            Terms::Predicted => Ok(said.clone()),
            Terms::V => self.of_v(said),
            Terms::X0 => self.mixed(said, self.prediction.of_x0_coefficients(self.alpha_bar)),
        }
    }

    fn mixed(&self, p: &Tensor, factors: (f64, f64)) -> candle_core::Result<Tensor> {
        match factors {
            (0.0, 1.0) => Ok(p.clone()),
            (of_x, of_p) => (&self.x * of_x)? + (p * of_p)?,
        }
    }
}

impl GuidanceMemory {
    /// Stores what the rule wants to remember of some images. The other images keep theirs.
    fn keep(&mut self, x: &Tensor, images: &[u32], remembered: Tensor) -> Result<(), SampleError> {
        let count = x.dim(0)?;
        let all = match &self.of_rule {
            Some(all) => all.clone(),
            None => x.zeros_like()?,
        };
        let mut order: Vec<u32> = (0..count as u32).collect();
        for (k, &image) in images.iter().enumerate() {
            order[image as usize] = (count + k) as u32;
        }
        let order = Tensor::new(order, x.device())?;
        self.of_rule = Some(Tensor::cat(&[all, remembered], 0)?.index_select(&order, 0)?);
        Ok(())
    }
}
