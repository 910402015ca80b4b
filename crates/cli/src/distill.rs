//! `distill`: from a trained model to one that draws in few steps and without guidance.

use crate::hardware::Compute;
use crate::interrupt::Interrupt;
use crate::job;
use crate::terminal::err;
use crate::train::train;
use anyhow::Result;
use duet_diffusion::sample::{GuidanceInterval, History};
use duet_diffusion::schedule::{Prediction, Solver};
use duet_diffusion::{Distill, NewRun, find};
use std::path::PathBuf;

/// Flags of `distill`.
#[derive(clap::Args)]
pub struct Args {
    /// The teacher: a run or a checkpoint
    #[arg(long, value_name = "DIR|latest", default_value = "latest")]
    run: String,
    /// The student's run [default: the next numbered one under runs/]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Network evaluations of each image that the student draws
    #[arg(long, default_value_t = 4)]
    steps: usize,
    /// The weight w of the teacher's guidance, which the student learns [default: the run's]
    #[arg(long, value_name = "W", allow_negative_numbers = true)]
    guidance: Option<f64>,
    /// The noise levels at which the teacher is guided, such as 1:15 [default: the run's]
    #[arg(long, value_name = "LOW:HIGH|all")]
    interval: Option<GuidanceInterval>,
    /// How far the teacher extrapolates each step from the one before, within a step of the student [default: 0]
    #[arg(long, value_name = "WEIGHT[:LOW:HIGH]")]
    history: Option<History>,
    /// The teacher's sampler, which adds no noise: ddim, euler, dpmpp-2m or unipc [default: ddim]
    #[arg(long)]
    sampler: Option<Solver>,
    /// The teacher's evaluations for an image, a multiple of --steps [default: twice --steps, 8 or more]
    #[arg(long, value_name = "STEPS")]
    teacher_steps: Option<usize>,
    /// What the student predicts: epsilon, v or x0
    #[arg(long, default_value = "v")]
    prediction: Prediction,
    /// Optimiser steps [default: a fifth of the teacher's]
    #[arg(long, value_name = "STEPS")]
    train_steps: Option<u64>,
    /// Peak learning rate [default: the teacher's]
    #[arg(long)]
    lr: Option<f64>,
    /// Images of each of the six sets of trajectories that the student learns from [default: 512]
    #[arg(long, value_name = "IMAGES")]
    trajectories: Option<usize>,
    /// Seed of every random draw [default: the run's]
    #[arg(long)]
    seed: Option<u64>,
    /// Where the teacher's images are now, which the student's run measures itself by [default: where they were]
    #[arg(long, value_name = "DIR|FILE")]
    data: Option<String>,
    #[command(flatten)]
    pub(crate) compute: Compute,
}

/// Runs the verb.
pub fn run(args: Args) -> Result<()> {
    let interrupt = Interrupt::listen()?;
    let device = args.compute.start()?;
    let asked = Distill {
        run: args.run,
        steps: args.steps,
        guidance: args.guidance,
        interval: args.interval,
        history: args.history,
        sampler: args.sampler,
        teacher_steps: args.teacher_steps,
        prediction: args.prediction,
        train_steps: args.train_steps,
        learning_rate: args.lr,
        trajectories: args.trajectories,
        seed: args.seed,
        data: args.data,
    };
    let config = asked.config()?;
    let data = config.load_data()?;
    let path = args.out.unwrap_or_else(|| find::next(&format!("{}-student", data.name)));
    let mut run = NewRun::new(config, data, device)?;
    if let Some(job) = job::current() {
        run = run.with_job(job)?;
    }
    err!("\n{}", run.config().to_toml()?);
    train(run.begin(&path)?, &interrupt)
}
