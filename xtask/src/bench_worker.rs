//! One task of `cargo xtask bench` in a process of its own: says "ready" once warm, then answers each line of its input with
//! the mean seconds of one repeat, in a turn of about 0.3 seconds, and the process's peak memory in bytes.

use crate::bench::{Benched, Network, Sizes, Task};
use crate::profile;
use anyhow::{Context, Result};
use candle_core::{Device, Shape, Tensor};
use duet_cli::hardware;
use duet_diffusion::Sampling;
use duet_diffusion::ranks::{Addend, Channel, Ranks, TreeSum, shares};
use duet_kernels::Padding;
use duet_kernels::tape::{Images, Tape};
use duet_kernels::{ConvWeights, InstructionSet, Sum};
use duet_model::{Memory, Purpose, Snapshot, UNet};
use duet_random::Draws;
use duet_sample::{Guidance, Labels, Sampler};
use duet_schedule::{BetaSchedule, Clip, Prediction, Spacing};
use duet_train::{Batch, Diffusion, Flip, LossWeighting, Optimizer, TimestepSampling, TrainOptions, Trainer};
use rayon::prelude::*;
use std::io::{BufRead, Write};
use std::sync::Arc;
use std::time::Instant;

#[derive(clap::Args)]
pub struct Args {
    task: Task,
    #[arg(long)]
    network: Option<Network>,
    #[command(flatten)]
    sizes: Sizes,
    #[arg(long)]
    threads: usize,
    #[arg(long)]
    steps: usize,
    /// No wider instructions than the target's first vector extension
    #[arg(long)]
    vector: bool,
    /// Train as with --memory low
    #[arg(long)]
    low_memory: bool,
}

const CONV_BATCH: usize = 64;
/// Images of a thread's chunk.
const CHUNK: usize = 8;
/// One answer is about so many seconds of work without a pause, as in the peer's script: after a pause the caches hold what
/// others left there, and a training has no pauses.
const TURN: f64 = 0.3;

pub fn run(args: Args) -> Result<()> {
    hardware::set_threads(Some(args.threads))?;
    if args.vector {
        duet_kernels::limit_instruction_set(InstructionSet::Vector);
    }
    match args.task {
        Task::Train => {
            let network = args.network()?;
            let options = options(network.batch);
            let mut trainer = Trainer::new(&network.config, &diffusion(), &options, &Device::Cpu)?;
            let batches = [images(&network)?];
            if args.low_memory {
                trainer.use_memory(Memory::Low);
            }
            if let Some(ranks) = duet_cli::ranks()? {
                trainer.use_ranks(ranks.clone(), vec![args.threads; ranks.size()])?;
                return serve_ranks(&ranks, || trainer.step(&batches).map(|_| ()).map_err(Into::into));
            }
            serve(|| Ok(trainer.step(&batches)?))
        }
        Task::Forward => {
            let network = args.network()?;
            let (unet, _) = UNet::seeded(&network.config, 0, &Device::Cpu)?;
            let snapshot = unet.snapshot(Purpose::Prediction)?;
            let batch = images(&network)?;
            serve(|| predict(&snapshot, &batch))
        }
        Task::Sample => {
            let network = args.network()?;
            let (unet, _) = UNet::seeded(&network.config, 0, &Device::Cpu)?;
            let snapshot = unet.snapshot(Purpose::Prediction)?;
            serve(|| sample(&network, &unet, &snapshot, args.steps))
        }
        Task::Profile => {
            let network = args.network()?;
            let options = options(network.batch);
            let mut trainer = Trainer::new(&network.config, &diffusion(), &options, &Device::Cpu)?;
            let batches = [images(&network)?];
            let print = |title, run: &mut dyn FnMut() -> Result<()>| {
                profile::print(title, network.batch, args.threads, run)
            };
            print("training step", &mut || Ok(trainer.step(&batches).map(|_| ())?))?;
            drop(trainer);
            let (unet, _) = UNet::seeded(&network.config, 0, &Device::Cpu)?;
            let snapshot = unet.snapshot(Purpose::Prediction)?;
            print("prediction", &mut || predict(&snapshot, &batches[0]).map(|_| ()))
        }
        Task::Conv(sizes) => {
            let conv = Convolution::new(sizes, false)?;
            serve(|| {
                let chunks = conv.chunks.par_iter().map(|(x, _)| conv.run(&mut Tape::forward_only(), x));
                Ok(chunks.collect::<Vec<_>>())
            })
        }
        Task::ConvBoth(sizes) => {
            let conv = Convolution::new(sizes, true)?;
            serve(|| {
                let chunks = conv.chunks.par_iter().map(|(x, grad)| {
                    let mut tape = Tape::recording();
                    let x = tape.variable("x", x);
                    let y = conv.run(&mut tape, &x);
                    tape.backward(&y, grad)
                });
                Ok(chunks.collect::<Vec<_>>())
            })
        }
        Task::Wire => {
            let network = args.network()?;
            let (_, parameters) = UNet::seeded(&network.config, 0, &Device::Cpu)?;
            let ranks = duet_cli::ranks()?.context("several ranks")?;
            let gradients = Addend { number: 1.0, values: normals(parameters.count()) };
            let shares = shares(ranks.size(), &vec![1; ranks.size()]);
            serve_ranks(&ranks, || {
                let part = TreeSum::new(ranks.size());
                part.add(ranks.rank(), gradients.clone(), Addend::add);
                ranks.sum(part, &shares, gradients.values.len())?;
                Ok(())
            })
        }
        Task::Peak => serve(|| {
            profile::multiply_adds_on_each_thread();
            Ok(())
        }),
    }
}

impl Args {
    fn network(&self) -> Result<Benched> {
        self.network.context("this task needs a network")?.benched(self.sizes)
    }
}

fn serve<T>(mut repeat: impl FnMut() -> Result<T>) -> Result<()> {
    let mut warm = 0.0;
    for i in 0..3 {
        let start = Instant::now();
        // The third would be as long as the second.
        if i < 2 || warm < 5.0 {
            repeat()?;
            warm = start.elapsed().as_secs_f64();
        }
    }
    let times = (TURN / warm).ceil().clamp(1.0, 1000.0) as usize;
    let mut out = std::io::stdout();
    writeln!(out, "ready")?;
    out.flush()?;
    for line in std::io::stdin().lock().lines() {
        line?;
        let start = Instant::now();
        for _ in 0..times {
            repeat()?;
        }
        let seconds = start.elapsed().as_secs_f64() / times as f64;
        writeln!(out, "{seconds} {}", hardware::peak_memory().unwrap_or(0))?;
        out.flush()?;
    }
    Ok(())
}

/// As [`serve`] for one of several ranks: rank 0 answers, and the others do what it does. At the end, it says what travelled.
fn serve_ranks(ranks: &Ranks, mut step: impl FnMut() -> Result<()>) -> Result<()> {
    (0..3).try_for_each(|_| step())?;
    let before = ranks.traffic();
    let mut steps = 0u32;
    let again = |again: bool| {
        Ok::<_, anyhow::Error>(ranks.broadcast(Channel::Order, Some(vec![again.into()]))?[0] > 0)
    };
    let started = Instant::now();
    match ranks.rank() {
        0 => serve(|| {
            again(true)?;
            steps += 1;
            step()
        })?,
        _ => {
            while again(false)? {
                step()?;
            }
            ranks.leave();
            return Ok(());
        }
    }
    again(false)?;
    let now = ranks.traffic();
    duet_cli::terminal::err!(
        "rank 0 sent {:.0} bytes in {:.1} messages a step, and waited {:.1} % of the time, in {steps} steps of {:.1} ms",
        (now.bytes - before.bytes) as f64 / f64::from(steps),
        (now.messages - before.messages) as f64 / f64::from(steps),
        100.0 * (now.waited - before.waited).as_secs_f64() / started.elapsed().as_secs_f64(),
        1e3 * started.elapsed().as_secs_f64() / f64::from(steps),
    );
    ranks.leave();
    Ok(())
}

fn normals(count: usize) -> Vec<f32> {
    let mut values = vec![0f32; count];
    Draws::new(0, "bench", 0).fill_normal(&mut values);
    values
}

/// A convolution of the tape on chunks of images, as the network runs it.
struct Convolution {
    weights: Arc<ConvWeights>,
    /// Images and the gradient of their results.
    chunks: Vec<(Images, Vec<f32>)>,
}

impl Convolution {
    fn new((inputs, outputs, side): (usize, usize, usize), gradients: bool) -> Result<Self> {
        let weight = normals(outputs * inputs * 9);
        let weights = ConvWeights::new("conv", &weight, &vec![0.0; outputs], inputs, (3, 3), gradients);
        let chunk = |_| {
            let x = Images::new([CHUNK, side, side, inputs], &normals(CHUNK * side * side * inputs));
            (x, normals(CHUNK * side * side * outputs))
        };
        Ok(Self { weights: Arc::new(weights), chunks: (0..CONV_BATCH / CHUNK).map(chunk).collect() })
    }

    fn run(&self, tape: &mut Tape, x: &Images) -> Images {
        tape.conv(x, &self.weights, 1, Padding::all(1), Sum::NOTHING)
    }
}

fn images(network: &Benched) -> Result<Batch> {
    let shape = network.shape(network.batch);
    let images = Tensor::from_vec(normals(Shape::from(shape).elem_count()), shape, &Device::Cpu)?;
    let labels = (0..network.batch as u32).map(|i| i % 10).collect();
    Ok(Batch { images: images.clamp(-1f32, 1f32)?, labels })
}

/// A prediction at timesteps from all over.
fn predict(snapshot: &Snapshot, batch: &Batch) -> Result<Tensor> {
    let labels = Tensor::new(batch.labels.clone(), &Device::Cpu)?;
    let t: Vec<u32> = (0..batch.labels.len() as u32).map(|i| i * 15 % 1000).collect();
    Ok(snapshot.predict(&batch.images, &Tensor::new(t, &Device::Cpu)?, Some(&labels))?)
}

fn diffusion() -> Diffusion {
    Diffusion {
        timesteps: 1000,
        schedule: BetaSchedule::Cosine,
        beta_start: None,
        beta_end: None,
        snr_scale: None,
        zero_terminal_snr: false,
        prediction: Prediction::V,
    }
}

fn options(batch: usize) -> TrainOptions {
    TrainOptions {
        seed: 0,
        steps: 1_000_000,
        batch,
        accumulate: 1,
        optimizer: Optimizer::AdamW,
        learning_rate: 2e-3,
        warmup: 0.05,
        final_learning_rate: 0.0,
        weight_decay: 0.01,
        betas: [0.9, 0.99],
        clip: 1.0,
        label_dropout: 0.1,
        loss_weighting: LossWeighting::Uniform,
        timestep_sampling: TimestepSampling::Uniform,
        ema_decay: 0.995,
        ema_snapshots: 0,
        balance: false,
        flip: Flip::Off,
        augment: 0.0,
        freeze: Vec::new(),
    }
}

/// Guided DDIM, w = 2: as many images as the network is timed with.
fn sample(network: &Benched, unet: &UNet, snapshot: &Snapshot, steps: usize) -> Result<Tensor> {
    let null = network.config.num_class_embeds.context("a conditional network")? as u32 - 1;
    let (samples, channels, height, width) = network.shape(network.samples);
    let diffusion = diffusion();
    let schedule = diffusion.noise_schedule()?;
    let timesteps = Spacing::Trailing.timesteps(steps, &schedule)?;
    let ddim = Sampler::ddim(&schedule, &timesteps, diffusion.prediction, 0.0)?
        .with_clip(Clip::Static { limit: 1.0 })?;
    let seeds: Vec<u64> = (0..samples as u64).collect();
    let labels: Vec<u32> = (0..samples as u32).map(|i| i % 10).collect();
    let begins = (Some(Labels::new(&labels)), seeds);
    let sampling =
        Sampling::new(unet, ddim, Guidance::new(2.0, Some(null)), begins, (channels, height, width));
    Ok(sampling.draw_with(snapshot, None, |_| Ok(()))?.images)
}
