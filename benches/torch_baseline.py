"""The peer to beat in quality: the network of configs/digits.toml, its blocks shifted and not scaled by time and class, by the usual recipe in torch and diffusers, on the same 10,000 digits.

pip install torch diffusers (numpy, pillow and safetensors come with them)
usage: torch_baseline.py --out DIR [--images 112000 | --minutes 10] [--data DIR] [--threads 2] [--seed 0] [--guidance 1,2] [--steps 25] [--per-class 100]
--data: a directory with MNIST's files, as they come or unpacked, instead of crates/data/digits.
Afterwards DIR/model is a folder of diffusers with the averaged weights, and DIR/w1.safetensors, DIR/w2.safetensors hold guided
samples, 100 a class if nothing else is said, in the form of `cargo xtask sample --out x.safetensors`."""
import argparse, gzip, math, os, time
from pathlib import Path
# Threads that wait in a loop for each other stand still where others use the cores too.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
import numpy, torch
from diffusers import DDIMPipeline, DDIMScheduler, UNet2DModel
from PIL import Image
from safetensors.torch import save_file

DIGITS = Path(__file__).resolve().parent.parent / "crates" / "data" / "digits"
CLASSES, SIDE, NULL, TIMESTEPS = 10, 28, 10, 1000
BATCH, PEAK, WARMUP, CLIP, DROPOUT, DECAY = 64, 2e-3, 0.05, 1.0, 0.1, 0.995
SAMPLE_BATCH, HELD_OUT_DRAWS = 100, 4

def sheet(path):
    """The images of one class: (n, 28, 28) u8 from a sheet of 25 a row."""
    pixels = numpy.asarray(Image.open(path))
    rows, columns = pixels.shape[0] // SIDE, pixels.shape[1] // SIDE
    return pixels.reshape(rows, SIDE, columns, SIDE).swapaxes(1, 2).reshape(-1, SIDE, SIDE)

def idx(folder, name):
    path = next((p for p in (folder / name, folder / f"{name}.gz") if p.exists()), None)
    if path is None: raise SystemExit(f"{folder}: there is no {name}, gzipped or not")
    data = (gzip.open if path.suffix == ".gz" else open)(path, "rb").read()
    shape = [int.from_bytes(data[4 + 4 * i : 8 + 4 * i], "big") for i in range(data[3])]
    return numpy.frombuffer(data, numpy.uint8, offset=4 + 4 * data[3]).reshape(shape)

def load(folder, split):
    """Images (n, 1, 28, 28) f32 in [-1, 1] and labels (n) i64."""
    if (folder / f"{split}-0.png").exists():
        sheets = [sheet(folder / f"{split}-{c}.png") for c in range(CLASSES)]
        pixels, labels = numpy.concatenate(sheets), numpy.repeat(numpy.arange(CLASSES), [len(s) for s in sheets])
    else:
        name = {"train": "train", "test": "t10k"}[split]
        pixels, labels = idx(folder, f"{name}-images-idx3-ubyte"), idx(folder, f"{name}-labels-idx1-ubyte")
    return torch.from_numpy(pixels.astype(numpy.float32))[:, None] / 127.5 - 1, torch.from_numpy(labels.astype(numpy.int64))

def network():
    return UNet2DModel(
        sample_size=SIDE, in_channels=1, out_channels=1, block_out_channels=(16, 32, 64), layers_per_block=1, norm_num_groups=8,
        down_block_types=("DownBlock2D",) * 3, up_block_types=("UpBlock2D",) * 3, add_attention=False, num_class_embeds=CLASSES + 1)

def scheduler():
    return DDIMScheduler(num_train_timesteps=TIMESTEPS, beta_schedule="squaredcos_cap_v2", prediction_type="v_prediction",
                         timestep_spacing="trailing", clip_sample=True)

def learning_rate(part):
    """Linear warm-up, then half a cosine down to 0, by the part of the training that is done."""
    if part < WARMUP: return PEAK * part / WARMUP
    return PEAK * 0.5 * (1 + math.cos(math.pi * min((part - WARMUP) / (1 - WARMUP), 1)))

def train(images, labels, flags):
    """The averaged network."""
    model, ema, noising = network(), network().requires_grad_(False), scheduler()
    ema.load_state_dict(model.state_dict())
    parameters, averages = list(model.parameters()), list(ema.parameters())
    print(f"{sum(p.numel() for p in parameters)} parameters, {len(images)} images", flush=True)
    optimizer = torch.optim.AdamW(parameters, lr=PEAK, betas=(0.9, 0.99), weight_decay=0.01, fused=True)
    order, step, smooth, start, last = torch.empty(0, dtype=torch.int64), 0, None, time.perf_counter(), 0.0
    while True:
        seen, elapsed = step * BATCH, time.perf_counter() - start
        part = seen / flags.images if flags.images else elapsed / (60 * flags.minutes)
        if part >= 1 or elapsed - last >= 10:
            last = elapsed
            print(f"{part:4.0%}  {seen} images  {seen / elapsed:.1f} img/s  loss {smooth or math.nan:.4f}", flush=True)
        if part >= 1: break
        if len(order) < BATCH: order = torch.cat([order, torch.randperm(len(images))])
        chosen, order = order[:BATCH], order[BATCH:]
        x0, noise, t = images[chosen], torch.randn(BATCH, 1, SIDE, SIDE), torch.randint(0, TIMESTEPS, (BATCH,))
        shown = torch.where(torch.rand(BATCH) < DROPOUT, NULL, labels[chosen])
        prediction = model(noising.add_noise(x0, noise, t), t, class_labels=shown).sample
        loss = torch.nn.functional.mse_loss(prediction, noising.get_velocity(x0, noise, t))
        if not loss.isfinite(): raise SystemExit(f"diverged at step {step}")
        optimizer.zero_grad(); loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, CLIP)
        for group in optimizer.param_groups: group["lr"] = learning_rate(part)
        optimizer.step(); step += 1
        decay = min(DECAY, (1 + step) / (10 + step))
        torch._foreach_lerp_(averages, parameters, 1 - decay)
        smooth = loss.item() if smooth is None else 0.99 * smooth + 0.01 * loss.item()
    return ema.eval()

@torch.no_grad()
def held_out_loss(model, images, labels):
    """Of the images with their labels, at timesteps spread evenly over each image's draws."""
    noising, total = scheduler(), 0.0
    generator = torch.Generator().manual_seed(0)
    for draw in range(HELD_OUT_DRAWS):
        for first in range(0, len(images), 200):
            x0, label = images[first : first + 200], labels[first : first + 200]
            spread = (torch.rand(len(x0), generator=generator) + draw) / HELD_OUT_DRAWS
            noise, t = torch.randn(x0.shape, generator=generator), (spread * TIMESTEPS).long()
            prediction = model(noising.add_noise(x0, noise, t), t, class_labels=label).sample
            total += (prediction - noising.get_velocity(x0, noise, t)).square().mean((1, 2, 3)).sum().item()
    return total / HELD_OUT_DRAWS / len(images)

@torch.no_grad()
def sample(model, weight, flags):
    """Images (10 times those of a class, 1, 28, 28), class by class. A weight of 1 is no guidance."""
    generator, ddim, drawn = torch.Generator().manual_seed(flags.seed), scheduler(), []
    for label in torch.arange(CLASSES).repeat_interleave(flags.per_class).split(SAMPLE_BATCH):
        ddim.set_timesteps(flags.steps)
        x = torch.randn(len(label), 1, SIDE, SIDE, generator=generator)
        for t in ddim.timesteps:
            v = model(x, t, class_labels=label).sample
            if weight != 1:
                free = model(x, t, class_labels=torch.full_like(label, NULL)).sample
                v = free + weight * (v - free)
            x = ddim.step(v, t, x, use_clipped_model_output=True).prev_sample
        drawn.append(x.clamp(-1, 1))
    return torch.cat(drawn)

def main():
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    length = flags.add_mutually_exclusive_group()
    length.add_argument("--images", type=int, help="how many it sees; the schedule scales [default: 112000]")
    length.add_argument("--minutes", type=float, help="how long it trains; the schedule scales")
    flags.add_argument("--data", type=Path, default=DIGITS); flags.add_argument("--out", type=Path, required=True)
    flags.add_argument("--threads", type=int, default=2); flags.add_argument("--seed", type=int, default=0)
    flags.add_argument("--guidance", default="1,2"); flags.add_argument("--steps", type=int, default=25)
    flags.add_argument("--per-class", type=int, default=100)
    flags = flags.parse_args()
    if flags.minutes is None: flags.images = flags.images or 112_000
    torch.set_num_threads(flags.threads); torch.manual_seed(flags.seed)
    flags.out.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    model = train(*load(flags.data, "train"), flags)
    print(f"trained in {time.perf_counter() - start:.0f} s; held-out loss {held_out_loss(model, *load(flags.data, 'test')):.4f}", flush=True)
    DDIMPipeline(model, scheduler()).save_pretrained(flags.out / "model")
    labels = torch.arange(CLASSES).repeat_interleave(flags.per_class)
    for weight in map(float, flags.guidance.split(",")):
        start, path = time.perf_counter(), flags.out / f"w{weight:g}.safetensors"
        images = sample(model, weight, flags)
        save_file({"images": images.contiguous(), "labels": labels}, path)
        print(f"{path}: {len(images)} images with w = {weight:g} in {flags.steps} steps, {len(images) / (time.perf_counter() - start):.1f} img/s", flush=True)

main()
