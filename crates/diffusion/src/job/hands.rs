//! Parts of what is drawn, handed out to the ranks as they finish others.

use crate::draw::Drawn;
use crate::error::{Error, Result};
use crate::job::lead::{Job, no_message};
use crate::job::order::{self, Answer, Part, Work};
use candle_core::{Device, Tensor};
use duet_ranks::{Channel, Ranks};
use std::collections::{BTreeMap, VecDeque};

/// Parts that a rank has at once, so that it does not wait for the next.
const AHEAD: usize = 2;

/// Hears how many images have taken a step. Its error ends what is drawn.
pub(crate) type OnStep<'a> = dyn FnMut(usize) -> Result<()> + 'a;
/// Draws a part here.
pub(crate) type DrawPart<'a> = dyn FnMut(&Part, &mut OnStep) -> Result<Drawn> + 'a;

/// What is drawn in parts.
pub(crate) struct Whole {
    /// Steps of an image.
    pub steps: usize,
    /// (C, H, W) of an image.
    pub shape: (usize, usize, usize),
}

impl Job {
    /// Draws parts with all ranks, which have been told of what: all images, in the order of the parts.
    pub(crate) fn hand_out(
        &self,
        whole: Whole,
        parts: Vec<Part>,
        draw: &mut DrawPart,
        on_step: &mut OnStep,
    ) -> Result<Drawn> {
        let mut hands = Hands {
            job: self,
            whole,
            left: parts.into_iter().enumerate().collect(),
            out: 0,
            drawn: BTreeMap::new(),
            evaluations: 0,
        };
        match hands.draw(draw, on_step) {
            Ok(()) => hands.finish(),
            Err(error @ Error::Rank(_)) => Err(error),
            Err(error) => {
                hands.leave()?;
                Err(error)
            }
        }
    }
}

/// Draws what rank 0 hands out, until there is no more.
pub(crate) fn draw_handed(ranks: &Ranks, draw: &mut DrawPart) -> Result<()> {
    let mut handed = VecDeque::new();
    loop {
        let work = match handed.pop_front() {
            Some(work) => work,
            None => read_work(&ranks.receive(0, Channel::Work)?)?,
        };
        let (number, part) = match work {
            Work::Draw { number, part } => (number, part),
            Work::Done => return Ok(()),
            Work::Leave => return left(ranks),
        };
        let drawn = draw(&part, &mut |_| {
            while let Some((_, bytes)) = ranks.receive_now(Channel::Work)? {
                handed.push_back(read_work(&bytes)?);
            }
            match handed.back() {
                Some(Work::Leave) => Err(Error::caller("nobody wants it any more")),
                _ => Ok(()),
            }
        });
        let drawn = match drawn {
            Err(Error::Caller(_)) => return left(ranks),
            drawn => drawn?,
        };
        let answer = Answer::Drawn { part: number, evaluations: drawn.evaluations };
        let values = order::bytes_of(&drawn.images.flatten_all()?.to_vec1()?);
        ranks.send(0, Channel::Answer, order::to_bytes(&answer, &values)?);
    }
}

fn left(ranks: &Ranks) -> Result<()> {
    ranks.send(0, Channel::Answer, order::to_bytes(&Answer::Left, &[])?);
    Ok(())
}

fn read_work(bytes: &[u8]) -> Result<Work> {
    Ok(order::read(bytes).map_err(no_message(0))?.0)
}

/// The parts of a drawing, in the hands of the ranks.
struct Hands<'a> {
    job: &'a Job,
    whole: Whole,
    left: VecDeque<(usize, Part)>,
    /// Parts that other ranks have.
    out: usize,
    drawn: BTreeMap<usize, Tensor>,
    evaluations: usize,
}

impl Hands<'_> {
    fn ranks(&self) -> &Ranks {
        self.job.ranks()
    }

    fn draw(&mut self, draw: &mut DrawPart, on_step: &mut OnStep) -> Result<()> {
        // One each before anybody has two.
        for to in (0..AHEAD).flat_map(|_| 1..self.job.size()) {
            self.give(to)?;
        }
        while let Some((number, part)) = self.left.pop_front() {
            let drawn = draw(&part, &mut |images| {
                on_step(images)?;
                while let Some(answer) = self.ranks().receive_now(Channel::Answer)? {
                    self.take(answer, on_step)?;
                }
                Ok(())
            })?;
            self.drawn.insert(number, drawn.images);
            self.evaluations += drawn.evaluations;
        }
        while self.out > 0 {
            let answer = self.ranks().receive_any(Channel::Answer)?;
            self.take(answer, on_step)?;
        }
        Ok(())
    }

    /// Gives a rank the next part, if one is left.
    fn give(&mut self, to: usize) -> Result<()> {
        if let Some((number, part)) = self.left.pop_front() {
            self.ranks().send(to, Channel::Work, order::to_bytes(&Work::Draw { number, part }, &[])?);
            self.out += 1;
        }
        Ok(())
    }

    /// Takes what a rank has drawn, and gives it more.
    fn take(&mut self, (rank, bytes): (usize, Vec<u8>), on_step: &mut OnStep) -> Result<()> {
        let (answer, values) = Answer::read(&bytes).map_err(no_message(rank))?;
        let Answer::Drawn { part, evaluations } = answer else {
            return Err(no_message(rank)("no images").into());
        };
        let (channels, height, width) = self.whole.shape;
        let values = order::values_of(values).map_err(no_message(rank))?;
        let image = channels * height * width;
        if !values.len().is_multiple_of(image) {
            return Err(no_message(rank)("images of another size").into());
        }
        let count = values.len() / image;
        let images = Tensor::from_vec(values, (count, channels, height, width), &Device::Cpu)?;
        self.out -= 1;
        self.give(rank)?;
        self.drawn.insert(part, images);
        self.evaluations += evaluations;
        on_step(count * self.whole.steps)
    }

    /// Tells the ranks that there is no more; all images in the order of the parts.
    fn finish(self) -> Result<Drawn> {
        self.tell(&Work::Done)?;
        let images: Vec<Tensor> = self.drawn.into_values().collect();
        Ok(Drawn { images: Tensor::cat(&images, 0)?, evaluations: self.evaluations })
    }

    /// Tells the ranks to leave what they draw, and waits until all have.
    fn leave(self) -> Result<()> {
        self.tell(&Work::Leave)?;
        let mut waits = self.job.size() - 1;
        while waits > 0 {
            let (rank, bytes) = self.ranks().receive_any(Channel::Answer)?;
            if let Answer::Left = Answer::read(&bytes).map_err(no_message(rank))?.0 {
                waits -= 1;
            }
        }
        Ok(())
    }

    fn tell(&self, work: &Work) -> Result<()> {
        let message = order::to_bytes(work, &[])?;
        (1..self.job.size()).for_each(|to| self.ranks().send(to, Channel::Work, message.clone()));
        Ok(())
    }
}
