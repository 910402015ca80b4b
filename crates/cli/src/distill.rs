//! `distill`: from a trained model to one that draws in few steps and without guidance.

use crate::hardware::Compute;
use crate::interrupt::Interrupt;
use crate::terminal::err;
use crate::train::train;
use anyhow::Result;
use duet_diffusion::sample::History;
use duet_diffusion::schedule::Prediction;
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
    /// How far the teacher extrapolates each step from the previous one [default: the run's]
    #[arg(long, value_name = "WEIGHT[:LOW:HIGH]")]
    history: Option<History>,
    /// Evaluations of the teacher's trajectories [default: the least multiple of --steps from 12 on]
    #[arg(long, value_name = "STEPS")]
    teacher_steps: Option<usize>,
    /// The teacher's trajectories
    #[arg(long, default_value_t = 2000)]
    trajectories: usize,
    /// What the student predicts
    #[arg(long, default_value = "v")]
    prediction: Prediction,
    /// Optimiser steps
    #[arg(long, default_value_t = 1500)]
    train_steps: u64,
    /// Peak learning rate
    #[arg(long, default_value_t = 3e-3)]
    lr: f64,
    /// Seed of every random draw [default: the run's]
    #[arg(long)]
    seed: Option<u64>,
    #[command(flatten)]
    compute: Compute,
}

/// Runs the verb.
pub fn run(args: Args) -> Result<()> {
    let interrupt = Interrupt::listen()?;
    let device = args.compute.start()?;
    let asked = Distill {
        run: args.run,
        steps: args.steps,
        guidance: args.guidance,
        history: args.history,
        teacher_steps: args.teacher_steps,
        trajectories: args.trajectories,
        prediction: args.prediction,
        train_steps: args.train_steps,
        learning_rate: args.lr,
        seed: args.seed,
    };
    let config = asked.config()?;
    let data = config.load_data()?;
    let path = args.out.unwrap_or_else(|| find::next(&format!("{}-student", data.name)));
    let run = NewRun::new(config, data, device)?;
    err!("\n{}", run.config().to_toml()?);
    train(run.begin(&path)?, &interrupt)
}
