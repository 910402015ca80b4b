//! The networks' answers, image by image.

use crate::error::SampleError;
use candle_core::Tensor;

/// Which predictions an image needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pass {
    Given,
    Away,
    Both,
}

/// The networks' answers for the images that each was asked about.
#[derive(Debug, Clone)]
pub(crate) struct Answers {
    given: Option<Tensor>,
    free: Option<Tensor>,
    rows: Vec<Rows>,
}

/// The rows that hold the answers for an image.
#[derive(Debug, Clone, Copy)]
enum Rows {
    Given(u32),
    Free(u32),
    Both { given: u32, free: u32 },
}

impl Answers {
    pub fn new(given: Option<Tensor>, free: Option<Tensor>, passes: &[Pass]) -> Self {
        let (mut givens, mut frees) = (0.., 0..);
        let mut rows = |pass: &Pass| match pass {
            Pass::Given => Some(Rows::Given(givens.next()?)),
            Pass::Away => Some(Rows::Free(frees.next()?)),
            Pass::Both => Some(Rows::Both { given: givens.next()?, free: frees.next()? }),
        };
        let rows = passes.iter().filter_map(&mut rows).collect();
        Self { given, free, rows }
    }

    /// The two answers for image `i`, (C, H, W), where each was asked for.
    pub fn of_image(&self, i: usize) -> Result<(Option<Tensor>, Option<Tensor>), SampleError> {
        let (given, free) = match self.rows.get(i) {
            Some(Rows::Given(given)) => (Some(*given), None),
            Some(Rows::Free(free)) => (None, Some(*free)),
            Some(Rows::Both { given, free }) => (Some(*given), Some(*free)),
            None => (None, None),
        };
        let row = |all: &Option<Tensor>, row: Option<u32>| {
            let both = all.as_ref().zip(row);
            both.map(|(all, row)| all.get(row as usize)).transpose()
        };
        Ok((row(&self.given, given)?, row(&self.free, free)?))
    }

    /// The images that have both answers, with both answers.
    pub fn pairs(&self) -> Result<Option<(Vec<u32>, Tensor, Tensor)>, SampleError> {
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

    /// The predictions of all images: the networks' answers if one answer is enough, and `guided` for the
    /// rest.
    pub fn in_order(&self, guided: Option<Tensor>) -> Result<Tensor, SampleError> {
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
