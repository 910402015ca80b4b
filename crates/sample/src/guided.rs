//! From the networks' answers to the pair (x̂_0, ε̂) that a sampler steps with.

use crate::per_image::column;
use crate::question::{Question, ask};
use crate::{Away, Estimate, Guidance, Labels, Networks, Place, Renoise, Rule, SampleError};
use crate::{cfg_zero, rescale};
use candle_core::Tensor;
use duet_random::Draws;
use duet_schedule::{Clip, Prediction};

/// A batch at one place of its way.
#[derive(Debug, Clone, Copy)]
pub struct State<'a> {
    /// x_t, (n, C, H, W).
    pub x: &'a Tensor,
    /// What each image shall show; none for an unconditional network.
    pub labels: Option<&'a Labels>,
    /// The seed of each image, for draws on the way.
    pub seeds: &'a [u64],
    /// Where it is.
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

/// What guidance remembers from step to step; a new one for each trajectory.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    /// APG's momentum, the shape of x.
    momentum: Option<Tensor>,
    /// x̂_0 of the step before, for history guidance; the shape of x.
    before: Option<Tensor>,
}

/// Which predictions an image needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pass {
    Given,
    Away,
    Both,
}

impl Guidance {
    /// The guided estimate of a batch, with one call of the network for every prediction that counts:
    /// those for the classes first, then those to be led away from, unless they are the guide's.
    ///
    /// Errors: weights that are not finite or not one for each image; another number of labels or
    /// seeds than images; nothing to be led away from where the weight is not 1.
    pub fn estimate(
        &self,
        state: State<'_>,
        reading: Reading,
        memory: &mut Memory,
        networks: &mut Networks<'_>,
    ) -> Result<Estimate, SampleError> {
        let State { x, labels, place, .. } = state;
        let Reading { prediction, clip } = reading;
        let (passes, weights) = self.passes(state)?;
        let all = |wanted: Pass| -> Vec<u32> {
            let images = passes.iter().enumerate().filter(|(_, pass)| [wanted, Pass::Both].contains(pass));
            images.map(|(i, _)| i as u32).collect()
        };
        let given = Question::of_labels(&all(Pass::Given), labels);
        let led_away = all(Pass::Away);
        let away = self.led_away_from(&led_away, state)?;
        let at = (x, place.timestep);
        let (given, free) = match &mut networks.guide {
            Some(guide) if self.away.is_some_and(Away::is_guide) => {
                let ([given], [free]) =
                    (ask([&given], at, networks.denoise)?, ask([&away], at, &mut **guide)?);
                (given, free)
            }
            None if self.away.is_some_and(Away::is_guide) && !led_away.is_empty() => {
                return Err(SampleError::Setting("guidance by another model, which is not there".into()));
            }
            _ => ask([&given, &away], at, networks.denoise)?.into(),
        };
        let answers = Answers::new(given, free.clone(), &passes);
        let guided = self.combined(answers, &weights, state, prediction, memory)?;
        let estimate = Estimate::new(x, &guided, prediction, place.alpha_bar, clip)?;
        let estimate = match self.history.led_on(&estimate, place.alpha_bar, &mut memory.before)? {
            Some(x0) => Estimate::of_x0(x, x0, place.alpha_bar, clip)?,
            None => estimate,
        };
        match free.filter(|_| self.renoises_with_null(state)) {
            Some(free) => {
                let of_free = Estimate::new(x, &free, prediction, place.alpha_bar, Clip::No)?;
                Ok(Estimate { epsilon: of_free.epsilon, ..estimate })
            }
            None => Ok(estimate),
        }
    }

    /// What a sampler takes for x: x itself, or, where another noise is put back, what the estimate
    /// explains, √ᾱ x̂_0 + √(1-ᾱ) ε̂.
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

    /// Whether this step puts the null prediction's noise back, whatever the weight.
    fn renoises_with_null(&self, state: State<'_>) -> bool {
        self.renoise == Renoise::Null && self.has_two_answers(state) && self.applies_at(state.place)
    }

    fn applies_at(&self, place: Place) -> bool {
        self.interval.contains(place.alpha_bar)
    }

    /// An unconditional network has nothing to be guided by but another network.
    fn has_two_answers(&self, state: State<'_>) -> bool {
        state.labels.is_some() || self.away.is_some_and(Away::is_guide)
    }

    /// What each image needs, and its weight.
    fn passes(&self, state: State<'_>) -> Result<(Vec<Pass>, Vec<f64>), SampleError> {
        let State { x, labels, seeds, place } = state;
        let images = x.dim(0)?;
        if let Some(w) = self.weights.iter().find(|w| !w.is_finite()) {
            return Err(SampleError::Setting(format!("guidance {w}: must be a finite number")));
        }
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
        let at = |&w: &f64| if inside { self.schedule.at(w, place) } else { Ok(1.0) };
        let weights = weights.iter().map(at).collect::<Result<Vec<f64>, _>>()?;
        let null_counts = self.renoises_with_null(state);
        let pass = |&w: &f64| match w {
            _ if !self.has_two_answers(state) => Pass::Given,
            1.0 if !null_counts => Pass::Given,
            0.0 => Pass::Away,
            _ => Pass::Both,
        };
        Ok((weights.iter().map(pass).collect(), weights))
    }

    fn led_away_from(&self, images: &[u32], state: State<'_>) -> Result<Question, SampleError> {
        let State { labels, seeds, place, .. } = state;
        Ok(match self.away {
            _ if images.is_empty() => Question::default(),
            Some(Away::Label(label) | Away::GuideLabel(label)) => Question::of_label(images, |_| label),
            Some(Away::Guide) => Question::of_labels(images, labels),
            Some(Away::Independent { classes }) => Question::of_label(images, |i| {
                let mut draws = Draws::new(seeds[i], "independent condition", place.step as u64);
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
        answers: Answers,
        weights: &[f64],
        state: State<'_>,
        prediction: Prediction,
        memory: &mut Memory,
    ) -> Result<Tensor, SampleError> {
        let Some((both, given, free)) = answers.pairs()? else { return answers.in_order(None) };
        let weights: Vec<f64> = both.iter().map(|&i| weights[i as usize]).collect();
        let weights = column(&weights, &given)?;
        let guided = match self.rule {
            Rule::Plain => plain(&given, &free, &weights)?,
            Rule::ZeroStar => plain(&given, &cfg_zero::scaled(&given, &free)?, &weights)?,
            Rule::Adaptive(apg) => {
                let images = Tensor::new(both.as_slice(), state.x.device())?;
                let x = state.x.index_select(&images, 0)?;
                let mix = |p: &Tensor, (of_x, of_p): (f64, f64)| (&x * of_x)? + (p * of_p)?;
                let to_x0 = prediction.x0_coefficients(state.place.alpha_bar);
                let before = memory.momentum.as_ref().map(|all| all.index_select(&images, 0)).transpose()?;
                let (x0, momentum) =
                    apg.guided(&mix(&given, to_x0)?, &mix(&free, to_x0)?, &weights, before.as_ref())?;
                memory.keep(state.x, &both, momentum)?;
                // Back to a prediction, so that what follows is the same for every rule.
                mix(&x0, prediction.of_x0_coefficients(state.place.alpha_bar))?
            }
        };
        answers.in_order(Some(rescale::rescaled(&guided, &given, self.rescale)?))
    }
}

impl Memory {
    /// Remembers the momentum of some images; that of the others stays.
    fn keep(&mut self, x: &Tensor, images: &[u32], momentum: Tensor) -> Result<(), SampleError> {
        let count = x.dim(0)?;
        let all = match &self.momentum {
            Some(all) => all.clone(),
            None => x.zeros_like()?,
        };
        let mut order: Vec<u32> = (0..count as u32).collect();
        for (k, &image) in images.iter().enumerate() {
            order[image as usize] = (count + k) as u32;
        }
        let order = Tensor::new(order, x.device())?;
        self.momentum = Some(Tensor::cat(&[all, momentum], 0)?.index_select(&order, 0)?);
        Ok(())
    }
}

/// What the networks said of the images that each was asked about.
struct Answers {
    given: Option<Tensor>,
    free: Option<Tensor>,
    rows: Vec<Rows>,
}

/// Where the answers about an image are.
enum Rows {
    Given(u32),
    Free(u32),
    Both { given: u32, free: u32 },
}

impl Answers {
    fn new(given: Option<Tensor>, free: Option<Tensor>, passes: &[Pass]) -> Self {
        let (mut givens, mut frees) = (0.., 0..);
        let mut rows = |pass: &Pass| match pass {
            Pass::Given => Some(Rows::Given(givens.next()?)),
            Pass::Away => Some(Rows::Free(frees.next()?)),
            Pass::Both => Some(Rows::Both { given: givens.next()?, free: frees.next()? }),
        };
        let rows = passes.iter().filter_map(&mut rows).collect();
        Self { given, free, rows }
    }

    /// The images that have both answers, with these.
    fn pairs(&self) -> Result<Option<(Vec<u32>, Tensor, Tensor)>, SampleError> {
        let both = self.rows.iter().enumerate().filter_map(|(i, rows)| match rows {
            Rows::Both { given, free } => Some((i as u32, (*given, *free))),
            _ => None,
        });
        let (both, (in_given, in_free)): (Vec<u32>, (Vec<u32>, Vec<u32>)) = both.unzip();
        let (Some(given), Some(free), false) = (&self.given, &self.free, both.is_empty()) else {
            return Ok(None);
        };
        let select = |all: &Tensor, rows: Vec<u32>| all.index_select(&Tensor::new(rows, all.device())?, 0);
        Ok(Some((both, select(given, in_given)?, select(free, in_free)?)))
    }

    /// All images' predictions: what the networks said where one answer is enough, and `guided` of the
    /// rest.
    fn in_order(&self, guided: Option<Tensor>) -> Result<Tensor, SampleError> {
        let count = |part: &Option<Tensor>| part.as_ref().map_or(Ok(0), |part| part.dim(0));
        let first_free = count(&self.given)? as u32;
        let mut next_guided = first_free + count(&self.free)? as u32..;
        let order: Vec<u32> = (self.rows.iter())
            .filter_map(|rows| match rows {
                Rows::Given(row) => Some(*row),
                Rows::Free(row) => Some(first_free + row),
                Rows::Both { .. } => next_guided.next(),
            })
            .collect();
        let parts: Vec<&Tensor> = [&self.given, &self.free, &guided].into_iter().flatten().collect();
        let all = Tensor::cat(&parts, 0)?;
        let order = Tensor::new(order, all.device())?;
        Ok(all.index_select(&order, 0)?)
    }
}

/// p̃ = p(x, ∅) + w (p(x, c) - p(x, ∅))
fn plain(given: &Tensor, free: &Tensor, weights: &Tensor) -> Result<Tensor, SampleError> {
    Ok((free + (given - free)?.broadcast_mul(weights)?)?)
}
