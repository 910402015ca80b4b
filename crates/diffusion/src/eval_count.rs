//! How many images an evaluation draws where nobody says.

use crate::error::Result;
use crate::evaluation::EvaluationDrawing;
use crate::job::lead::Job;
use crate::score::planned;
use crate::yardstick::{FEWEST_HELD_OUT, each};
use std::time::{Duration, Instant};

/// Images that are drawn where there is time.
const WANTED: usize = 10_000;
/// The time for drawing them.
pub const DRAWING_TIME: Duration = Duration::from_secs(5 * 60);

/// How many images are drawn, and how fast a few were.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EvalCount {
    /// Images in all.
    pub images: usize,
    /// Images a second.
    pub rate: f64,
    /// Whether more were wanted than the time is for.
    pub is_short: bool,
}

impl EvalCount {
    /// 10,000, or as many as this rate gives in five minutes, in hundreds, but not too few to be measured.
    pub fn at(rate: f64) -> Self {
        let fit = (rate * DRAWING_TIME.as_secs_f64()) as usize;
        let images = match fit {
            100.. => fit / 100 * 100,
            _ => fit.max(FEWEST_HELD_OUT),
        };
        Self { images: images.min(WANTED), rate, is_short: fit < WANTED }
    }

    /// Draws a batch twice and times the second, so that nothing that is made once counts.
    ///
    /// # Errors
    /// As [`crate::Plan::new`] and [`crate::Plan::draw_images`].
    pub fn timed(draws: &EvaluationDrawing) -> Result<Self> {
        let EvaluationDrawing { drawing, model, labels, batch, device, .. } = *draws;
        // A batch for each rank that draws.
        let few = each(batch * model.job.as_ref().map_or(1, Job::size), labels.len());
        let (plan, asked) = planned(drawing, (model, labels, few), batch, device)?;
        plan.draw_images(|_| Ok(()))?;
        let started = Instant::now();
        plan.draw_images(|_| Ok(()))?;
        Ok(Self::at(asked.len() as f64 / started.elapsed().as_secs_f64().max(1e-9)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_are_drawn_as_five_minutes_give_and_no_more_than_wanted() {
        assert_eq!((EvalCount::at(1000.0).images, EvalCount::at(1000.0).is_short), (10_000, false));
        assert_eq!((EvalCount::at(10.5).images, EvalCount::at(10.5).is_short), (3100, true));
        assert_eq!(EvalCount::at(0.1).images, 30);
        assert_eq!(EvalCount::at(0.001).images, FEWEST_HELD_OUT);
        assert!(!EvalCount::at(10_000.0 / 300.0 + 1e-6).is_short);
    }
}
