//! Ranks of one process: messages, sums and what becomes of a rank that is gone.

use duet_ranks::{Addend, Channel, Launch, RankError, Ranks, TreeSum, launch, shares};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(20);

/// Values whose sum depends on the order of additions.
fn term(number: usize) -> Addend {
    let value = |i: usize| ((number * 7919 + i * 104_729) % 1000) as f32 * 10f32.powi(i as i32 - 2) + 0.1;
    Addend { number: 0.1 * number as f64, values: (0..5).map(value).collect() }
}

/// The tree as its definition says it.
fn by_definition(from: usize, count: usize, terms: usize) -> Addend {
    if count == 1 {
        return term(from);
    }
    let half = count / 2;
    let mut left = by_definition(from, half, terms);
    if from + half < terms {
        left.add(by_definition(from + half, half, terms));
    }
    left
}

/// What every rank gets of `work`.
fn on_ranks<T: Send>(size: usize, limit: Duration, work: impl Fn(&Ranks) -> T + Sync) -> Vec<T> {
    let ranks = Ranks::local(size, limit);
    std::thread::scope(|scope| {
        let started: Vec<_> = ranks.iter().map(|ranks| scope.spawn(|| work(ranks))).collect();
        started.into_iter().map(|rank| rank.join().unwrap()).collect()
    })
}

#[test]
fn a_sum_has_the_same_bits_for_any_number_of_ranks_weights_and_order_of_arrival() {
    for terms in [1usize, 2, 3, 5, 8, 13, 16, 31] {
        let expected = by_definition(0, terms.next_power_of_two(), terms);
        for weights in [vec![1], vec![1, 1], vec![1; 3], vec![1; 4], vec![1; 8], vec![3, 1, 2], vec![1; 40]] {
            let shares = shares(terms, &weights);
            assert_eq!((shares[0].start, shares.last().unwrap().end), (0, terms));
            assert!(shares.windows(2).all(|pair| pair[0].end == pair[1].start), "{shares:?}");
            let sums = on_ranks(weights.len(), LIMIT, |ranks| {
                let part = TreeSum::new(terms);
                for number in shares[ranks.rank()].clone().rev() {
                    part.add(number, term(number), Addend::add);
                }
                Addend::from(ranks.sum(part, &shares, 5).unwrap())
            });
            assert!(sums.iter().all(|sum| *sum == expected), "{terms} terms, {weights:?}");
        }
    }
    let plain = (1..31).fold(term(0), |mut sum, number| {
        sum.add(term(number));
        sum
    });
    assert_ne!(plain, by_definition(0, 32, 31), "the order of additions shows in these values");
}

#[test]
fn sums_that_are_begun_before_the_first_is_finished_are_those_of_one_after_the_other() {
    let terms = 5;
    let expected = by_definition(0, 8, terms);
    let shares = shares(terms, &[1, 2, 1, 9]);
    let sums = on_ranks(shares.len(), LIMIT, |ranks| {
        let part = |values: std::ops::Range<usize>| {
            let part = TreeSum::new(terms);
            for number in shares[ranks.rank()].clone() {
                let Addend { number: of_term, values: all } = term(number);
                part.add(
                    number,
                    Addend { number: of_term, values: all[values.clone()].to_vec() },
                    Addend::add,
                );
            }
            // What is taken out is all that was added.
            part.take()
        };
        let begun =
            [0..2, 2..2, 2..5].map(|values| ranks.begin_sum(part(values.clone()), &shares, values.len()));
        ranks.finish_sums(begun.into()).unwrap().into_iter().map(Addend::from).collect::<Vec<_>>()
    });
    for sums in sums {
        assert!(sums.iter().all(|sum| sum.number == expected.number));
        assert_eq!(sums.into_iter().flat_map(|sum| sum.values).collect::<Vec<_>>(), expected.values);
    }
}

#[test]
fn a_sum_with_a_missing_term_is_none() {
    let sum = TreeSum::new(3);
    sum.add(0, 1.0, |a, b| *a += b);
    sum.add(2, 1.0, |a, b| *a += b);
    assert_eq!(sum.total(), None);
    assert_eq!(TreeSum::<f32>::new(0).total(), None);
}

#[test]
fn what_rank_0_says_reaches_all_and_what_all_say_reaches_rank_0() {
    for size in 1..=9 {
        let text: Vec<u8> = (0..100_000).map(|i| (i % 251) as u8).collect();
        let heard = on_ranks(size, LIMIT, |ranks| {
            let bytes = (ranks.rank() == 0).then(|| text.clone());
            ranks.broadcast(Channel::Order, bytes).unwrap()
        });
        assert_eq!(heard, vec![Arc::new(text.clone()); size]);
        let gathered = on_ranks(size, LIMIT, |ranks| ranks.gather(vec![ranks.rank() as u8]).unwrap());
        assert_eq!(gathered[0], Some((0..size as u8).map(|rank| vec![rank]).collect()));
    }
}

#[test]
fn messages_of_a_channel_keep_their_order_and_channels_do_not_wait_for_each_other() {
    on_ranks(2, LIMIT, |ranks| {
        if ranks.rank() == 1 {
            (0..100).for_each(|i| ranks.send(0, Channel::Answer, vec![i]));
            ranks.send(0, Channel::Sum, vec![7]);
            return;
        }
        assert_eq!(ranks.receive(1, Channel::Sum).unwrap(), [7]);
        (0..100).for_each(|i| assert_eq!(ranks.receive_any(Channel::Answer).unwrap(), (1, vec![i])));
        assert_eq!(ranks.receive_now(Channel::Answer).unwrap(), None);
    });
}

#[test]
fn a_rank_that_is_gone_is_named_to_the_ones_that_wait() {
    let limit = Duration::from_millis(300);
    let ends = on_ranks(3, limit, |ranks| match ranks.rank() {
        0 => {
            let lost = ranks.receive(1, Channel::Answer).unwrap_err();
            ranks.fail(1, &lost.to_string());
            // Its words are on their way when it leaves.
            assert!(ranks.leave());
            lost
        }
        1 => ranks.receive(0, Channel::Order).unwrap_err(),
        _ => {
            assert!(ranks.leave());
            RankError::Start("gone".into())
        }
    });
    assert_eq!(ends[0], RankError::Lost { rank: 2, seconds: 0 });
    assert!(
        matches!(&ends[1], RankError::Failed { rank: 0, code: 1, message } if message.contains("rank 2 has not answered"))
    );
}

#[test]
fn a_slow_rank_is_not_lost() {
    on_ranks(2, Duration::from_millis(300), |ranks| {
        if ranks.rank() == 1 {
            std::thread::sleep(Duration::from_millis(900));
            ranks.send(0, Channel::Answer, vec![1]);
        } else {
            assert_eq!(ranks.receive(1, Channel::Answer).unwrap(), [1]);
            assert!(ranks.traffic().waited >= Duration::from_millis(700));
        }
    });
}

#[test]
fn an_error_of_one_rank_ends_what_the_others_wait_for() {
    let ends = on_ranks(4, LIMIT, |ranks| match ranks.rank() {
        2 => {
            ranks.fail(4, "data/: not there");
            String::new()
        }
        _ => ranks.receive_any(Channel::Answer).unwrap_err().to_string(),
    });
    assert!(
        ends.iter().enumerate().all(|(rank, end)| rank == 2 || end == "rank 2: data/: not there"),
        "{ends:?}"
    );
}

#[test]
fn a_term_that_is_none_is_an_error_that_names_its_rank() {
    let shares = shares(2, &[1, 1]);
    let ends = on_ranks(2, LIMIT, |ranks| {
        if ranks.rank() == 1 {
            ranks.send(0, Channel::Sum, vec![0; 3]);
            return None;
        }
        let part = TreeSum::new(2);
        part.add(0, term(0), Addend::add);
        ranks.sum(part, &shares, 5).err()
    });
    assert_eq!(ends[0], Some(RankError::Message { rank: 1, reason: "3 bytes, and nodes of 28".into() }));
}

#[test]
fn a_job_is_known_by_what_its_launcher_sets() {
    let under = |set: &[(&str, &str)]| {
        let set: HashMap<_, _> =
            set.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        launch(|name| set.get(name).cloned())
    };
    assert_eq!(under(&[]), None);
    assert_eq!(under(&[("OMPI_COMM_WORLD_SIZE", "1"), ("OMPI_COMM_WORLD_RANK", "0")]), None);
    let found = under(&[("OMPI_COMM_WORLD_SIZE", "4"), ("OMPI_COMM_WORLD_RANK", "3")]);
    assert_eq!(found, Some(Launch { by: "mpirun", size: 4, rank: 3 }));
    assert_eq!(under(&[("PMI_SIZE", "2"), ("PMI_RANK", "1")]).unwrap().rank, 1);
    assert_eq!(under(&[("SLURM_STEP_NUM_TASKS", "8"), ("SLURM_PROCID", "5")]).unwrap().by, "srun");
    // A script of sbatch is one process, however many tasks its job may start.
    assert_eq!(under(&[("SLURM_NTASKS", "8"), ("SLURM_PROCID", "0"), ("SLURM_STEP_NUM_TASKS", "1")]), None);
}
