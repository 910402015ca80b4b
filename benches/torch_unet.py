"""Times the networks of src/preset.rs (that is, of configs/digits.toml) in torch and diffusers: the peer of the criterion benches.

pip install torch diffusers
usage: torch_unet.py [--threads 2] [--channels-last] [--compile] [--repeats 10] [--json FILE]
Prints medians: forward and training step in images/s, guided DDIM in images x steps/s."""
import argparse, json, pathlib, statistics, time, tomllib
import torch
from diffusers import DDIMScheduler, UNet2DModel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

PRESET = tomllib.loads((pathlib.Path(__file__).parents[1] / "configs/digits.toml").read_text())
MODEL, TRAIN = PRESET["model"], PRESET["train"]
WIDTHS = [MODEL["block_out_channels"], [32, 64, 64]]
CLASS_ROWS, BATCH, IMAGES, STEPS, GUIDANCE = 11, TRAIN["batch"], 16, 5, 2.0

def unet(widths):
    torch.manual_seed(0)
    return UNet2DModel(sample_size=28, in_channels=1, out_channels=1, layers_per_block=MODEL["layers_per_block"],
        block_out_channels=widths, down_block_types=("DownBlock2D",) * len(widths),
        up_block_types=("UpBlock2D",) * len(widths), norm_num_groups=MODEL["norm_num_groups"],
        num_class_embeds=CLASS_ROWS, add_attention=False)

def scheduler():
    return DDIMScheduler(beta_schedule="squaredcos_cap_v2", prediction_type="v_prediction", timestep_spacing="trailing", clip_sample=True)

def median_seconds(f, repeats):
    """Median after two runs to warm up (the first one compiles)."""
    times = []
    for _ in range(repeats + 2):
        start = time.perf_counter(); f(); times.append(time.perf_counter() - start)
    return statistics.median(times[2:])

def forward(model, layout):
    x = torch.randn(BATCH, 1, 28, 28).to(memory_format=layout)
    t, labels = torch.arange(BATCH) * 15 % 1000, torch.arange(BATCH) % 10
    @torch.no_grad()
    def run(): model(x, t, class_labels=labels)
    return run, BATCH

def training_step(model, layout):
    """What Trainer::step does: draws, v loss, backward, clipping, AdamW, EMA."""
    images, labels = torch.rand(BATCH, 1, 28, 28).to(memory_format=layout) * 2 - 1, torch.arange(BATCH) % 10
    parameters, noising = list(model.parameters()), scheduler()
    optimizer = torch.optim.AdamW(parameters, lr=TRAIN["learning_rate"], betas=TRAIN["betas"],
        weight_decay=TRAIN["weight_decay"], fused=True)
    ema = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(TRAIN["ema_decay"]))
    def run():
        noise, t = torch.randn_like(images), torch.randint(0, 1000, (BATCH,))
        dropped = torch.where(torch.rand(BATCH) < TRAIN["label_dropout"], CLASS_ROWS - 1, labels)
        prediction = model(noising.add_noise(images, noise, t), t, class_labels=dropped).sample
        loss = torch.nn.functional.mse_loss(prediction, noising.get_velocity(images, noise, t))
        optimizer.zero_grad(); loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, TRAIN["clip"])
        optimizer.step(); ema.update_parameters(model); loss.item()
    return run, BATCH

def guided_ddim(model, layout):
    """Both passes of guidance as one batch, as Guidance::predict runs them."""
    labels, ddim = torch.arange(IMAGES) % 10, scheduler()
    both = torch.cat([labels, torch.full_like(labels, CLASS_ROWS - 1)])
    @torch.no_grad()
    def run():
        ddim.set_timesteps(STEPS); x = torch.randn(IMAGES, 1, 28, 28).to(memory_format=layout)
        for t in ddim.timesteps:
            conditional, null = model(torch.cat([x, x]), t, class_labels=both).sample.chunk(2)
            x = ddim.step(null + GUIDANCE * (conditional - null), t, x, use_clipped_model_output=True).prev_sample
    return run, IMAGES * STEPS

if __name__ == "__main__":
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--threads", type=int, default=2); flags.add_argument("--repeats", type=int, default=10)
    flags.add_argument("--channels-last", action="store_true"); flags.add_argument("--compile", action="store_true")
    flags.add_argument("--json", metavar="FILE"); flags = flags.parse_args()
    torch.set_num_threads(flags.threads)
    layout = torch.channels_last if flags.channels_last else torch.contiguous_format
    results = []
    for task, unit in [(forward, "images/s"), (training_step, "images/s"), (guided_ddim, "images x steps/s")]:
        for widths in WIDTHS:
            model = unet(widths).to(memory_format=layout)
            if flags.compile: model.compile()
            run, count = task(model, layout)
            rate = count / median_seconds(run, flags.repeats)
            print(f"{task.__name__:14} {str(widths):13} {rate:8.1f} {unit}", flush=True)
            results.append(dict(task=task.__name__, widths=widths, rate=round(rate, 1), unit=unit, torch=torch.__version__,
                threads=flags.threads, channels_last=flags.channels_last, compile=flags.compile))
    text = json.dumps(results)
    if flags.json: open(flags.json, "w").write(text + "\n")
    else: print(text)
