//! Trainers of several ranks against one alone: the same bytes.
use crate::common::{diffusion, network, options, saved, two_sides};
use candle_core::Device;
use duet_ranks::{RankError, Ranks};
use duet_schedule::Prediction;
use duet_train::{DataOrder, StepReport, TrainError, TrainOptions, Trainer};
use std::collections::BTreeMap;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);
const IMAGES: usize = 40;

fn options_of(batch: usize, accumulate: usize) -> TrainOptions {
    TrainOptions { batch, accumulate, flip: duet_train::Flip::Horizontal, augment: 0.3, ..options() }
}

fn made(options: &TrainOptions) -> Trainer {
    Trainer::new(&network(true), &diffusion(Prediction::V), options, &Device::Cpu).unwrap()
}

type End = (Vec<StepReport>, BTreeMap<String, Vec<u8>>);

/// The reports and the checkpoint after these steps.
fn steps(trainer: &mut Trainer, count: usize) -> End {
    let (data, mut order) = (two_sides(IMAGES), DataOrder::new(1, IMAGES as u32));
    let reports = (0..count).map(|_| trainer.step_on(&data, &mut order).unwrap()).collect();
    (reports, saved(trainer))
}

/// What each rank has after these steps, begun from the state of another trainer.
fn on_ranks(options: &TrainOptions, state: &[u8], threads: &[usize], count: usize) -> Vec<End> {
    let ranks = Ranks::local(threads.len(), LIMIT);
    let run = |ranks: &Ranks| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads[ranks.rank()]).build().unwrap();
        pool.install(|| {
            let mut trainer = made(options);
            trainer.set_state(state).unwrap();
            trainer.use_ranks(ranks.clone(), threads.to_vec()).unwrap();
            steps(&mut trainer, count)
        })
    };
    std::thread::scope(|scope| {
        let started: Vec<_> = ranks.iter().map(|ranks| scope.spawn(|| run(ranks))).collect();
        started.into_iter().map(|rank| rank.join().unwrap()).collect()
    })
}

#[test]
fn ranks_end_with_the_bytes_of_one_trainer_alone() {
    // Five chunks, of which two are not whole; more ranks than chunks; a batch of one image.
    for (batch, accumulate) in [(20, 2), (16, 1), (1, 3)] {
        let options = options_of(batch, accumulate);
        let mut alone = made(&options);
        let state = alone.state().unwrap();
        let expected = steps(&mut alone, 3);
        for threads in [vec![1, 1], vec![2, 1, 1], vec![1; 4], vec![1, 2, 1, 1, 2, 1, 1, 1]] {
            for (rank, found) in on_ranks(&options, &state, &threads, 3).into_iter().enumerate() {
                assert!(found == expected, "batch {batch}×{accumulate}, {threads:?}, rank {rank}");
            }
        }
    }
}

#[test]
fn a_training_goes_on_with_another_number_of_ranks() {
    let options = options_of(20, 1);
    let mut alone = made(&options);
    steps(&mut alone, 2);
    let state = alone.state().unwrap();
    let expected = steps(&mut alone, 2);
    for threads in [vec![1], vec![1, 1, 1]] {
        let found = on_ranks(&options, &state, &threads, 2);
        assert!(found.iter().all(|found| *found == expected), "{threads:?}");
    }
}

#[test]
fn batches_of_the_callers_own_are_shared_too() {
    let options = TrainOptions { batch: 9, ..options() };
    let data = two_sides(27);
    let batches: Vec<_> = (0..27usize.div_ceil(9))
        .take(options.accumulate)
        .map(|i| {
            duet_train::Batch::from_dataset(&data, &(9 * i..9 * i + 9).collect::<Vec<_>>(), &Device::Cpu)
                .unwrap()
        })
        .collect();
    let mut alone = made(&options);
    let report = alone.step(&batches).unwrap();
    let ranks = Ranks::local(2, LIMIT);
    std::thread::scope(|scope| {
        for ranks in ranks {
            let (options, batches, alone) = (&options, &batches, &saved(&alone));
            let alone = alone.clone();
            scope.spawn(move || {
                let mut trainer = made(options);
                trainer.use_ranks(ranks, vec![1, 1]).unwrap();
                assert_eq!(trainer.step(batches).unwrap(), report);
                assert!(saved(&trainer) == alone);
            });
        }
    });
}

#[test]
fn a_step_ends_with_an_error_where_a_rank_is_gone() {
    let options = options_of(16, 1);
    let mut ranks = Ranks::local(2, Duration::from_millis(300)).into_iter();
    let (first, gone) = (ranks.next().unwrap(), ranks.next().unwrap());
    assert!(gone.leave());
    let mut trainer = made(&options);
    trainer.use_ranks(first, vec![1, 1]).unwrap();
    let data = two_sides(IMAGES);
    let error = trainer.step_on_images(&data, &(0..16).collect::<Vec<_>>()).unwrap_err();
    assert!(matches!(error, TrainError::Ranks(RankError::Lost { rank: 1, .. })), "{error}");
    assert_eq!(trainer.steps(), 0);
}

#[test]
fn what_is_no_state_and_no_share_is_refused() {
    let options = options_of(4, 1);
    let state = made(&options).state().unwrap();
    let mut other = Trainer::new(&network(false), &diffusion(Prediction::V), &options, &Device::Cpu).unwrap();
    let error = other.set_state(&state).unwrap_err().to_string();
    assert!(error.contains("is not part of this network"), "{error}");
    assert!(other.set_state(&state[..100]).is_err());
    let ranks = Ranks::local(2, LIMIT).remove(0);
    assert!(other.use_ranks(ranks.clone(), vec![1]).is_err());
    assert!(other.use_ranks(ranks, vec![1, 0]).is_err());
    let data = two_sides(8);
    assert!(other.step_on_images(&data, &[0, 1, 2]).unwrap_err().to_string().contains("3 images"));
    assert!(other.step_on_images(&data, &[0, 1, 2, 8]).unwrap_err().to_string().contains("image 8"));
}
