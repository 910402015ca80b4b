"""Samples the same noise in diffusers and in Duet: pip install torch diffusers safetensors.

usage: compare_diffusers.py [FOLDER ...] [--xtask PROGRAM] [--count 50] [--json FILE]
FOLDER is a checkpoint that `cargo xtask train` saved, or what `export` or `import` wrote. It is loaded with from_pretrained,
sampled with guidance (w = 2, 25 steps), and compared with what `cargo xtask sample` draws from the same starting noise; then
the same is done with a network that diffusers makes and saves.

Both sides compute in f32 and round differently, so neither is the measure of the other: both are held against the same
trajectories in f64. Where a trajectory stands between two images, a rounding error decides, on either side. Such a one is
ILL-CONDITIONED: its f64 result moves by more than 1e-4 when every prediction is disturbed by 1e-6 of its size. It is named, and
may err by ten times as much as the disturbance moved it. Every other trajectory fails at an error of 1e-4 of the largest value."""
import argparse, json, math, pathlib, subprocess, sys, tempfile, warnings
import torch
import diffusers.schedulers.scheduling_dpmsolver_multistep as dpmsolver
from diffusers import DDIMPipeline, DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler, UNet2DModel
from safetensors.torch import load_file, save_file
from make_references import Double, exact_table

ROOT, W, STEPS = pathlib.Path(__file__).resolve().parent.parent, 2.0, 25
DISTURBANCE, TOLERANCE, MOST_ILL = 1e-6, 1e-4, 0.1

def load(folder):
    """Network and scheduler, without a warning and without a tensor too many or too few."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        unet, info = UNet2DModel.from_pretrained(folder, subfolder="unet", output_loading_info=True)
    assert not any(info[k] for k in ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs")), info
    name = (folder / "scheduler" / "scheduler_config.json").read_text().split('"_class_name": "')[1].split('"')[0]
    kinds = {k.__name__: k for k in (DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler)}
    return unet.eval(), kinds[name].from_pretrained(folder, subfolder="scheduler")

@torch.no_grad()
def theirs(unet, scheduler, noise, labels, disturbance=0.0):
    """diffusers' images, in the number type of `noise`; `disturbance` times its size is added to every prediction."""
    scheduler.set_timesteps(STEPS); x, g = noise, torch.Generator().manual_seed(1)
    extra = dict(use_clipped_model_output=True) if isinstance(scheduler, DDIMScheduler) else {}
    for t in scheduler.timesteps:
        if labels is None: p = unet(x, t).sample
        else:
            null = torch.full_like(labels, unet.config.num_class_embeds - 1)
            given, free = unet(torch.cat([x, x]), t, torch.cat([labels, null])).sample.chunk(2)
            p = free + W * (given - free)
        if disturbance: p = p + disturbance * p.square().mean().sqrt() * torch.randn(p.shape, generator=g, dtype=p.dtype)
        x = scheduler.step(p, t, x, **extra).prev_sample
    return x

def exact_embedding(timesteps, width, cosine_first, freq_shift):
    """diffusers' get_timestep_embedding, which has f32 whatever the network has, in f64."""
    half = width // 2; k = torch.arange(half, dtype=torch.float64)
    phases = timesteps[:, None].double() * torch.exp(-math.log(10000) * k / (half - freq_shift))
    waves = [phases.cos(), phases.sin()] if cosine_first else [phases.sin(), phases.cos()]
    return torch.nn.functional.pad(torch.cat(waves, -1), (0, width % 2))

def exact(unet, scheduler):
    """Both in f64, also where diffusers keeps f32: in the scheduler's table, in DPM-Solver's steps and in the embedding of time."""
    unet, c = unet.double(), unet.config
    if c.time_embedding_type == "positional":
        unet.time_proj.forward = lambda t: exact_embedding(t, c.block_out_channels[0], c.flip_sin_to_cos, c.freq_shift)
    scheduler.alphas_cumprod = exact_table(scheduler); dpmsolver.torch = Double()
    if isinstance(scheduler, DDIMScheduler) and not scheduler.config.set_alpha_to_one: scheduler.final_alpha_cumprod = scheduler.alphas_cumprod[0]
    return unet, scheduler

def ours(folder, scheduler, xtask, noise, labels):
    """Duet's images, by the folder's own scheduler; a checkpoint's [sample] names another sampler than its DDIMScheduler."""
    sampler = ["--sampler", "ddim"] if isinstance(scheduler, DDIMScheduler) else []
    with tempfile.TemporaryDirectory() as temporary:
        start, out = f"{temporary}/noise.safetensors", f"{temporary}/images.safetensors"
        save_file({"noise": noise} | ({"labels": labels} if labels is not None else {}), start)
        subprocess.run([*xtask, "sample", "--run", str(folder.resolve()), "--noise", start, "--guidance", str(W), "--steps", str(STEPS), *sampler, "--interval", "all", "--history", "0", "--out", out],
            cwd=ROOT, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL if xtask[0] != "cargo" else None)
        return load_file(out)["images"]

def quantiles(errors):
    q = errors.quantile(torch.tensor([0.5, 0.9, 1.0], dtype=errors.dtype)).tolist()
    return dict(median=q[0], ninety=q[1], largest=q[2])

def compare(folder, what, flags):
    """Whether Duet's images are as exact as they should be, and the figures."""
    unet, scheduler = load(folder); c = unet.config; g = torch.Generator().manual_seed(0)
    h, w = c.sample_size if isinstance(c.sample_size, (list, tuple)) else (c.sample_size,) * 2
    noise = torch.randn(flags.count, c.in_channels, h, w, generator=g)
    labels = torch.arange(flags.count) % max(c.num_class_embeds - 1, 1) if c.num_class_embeds else None
    made, peer = ours(folder, scheduler, flags.xtask, noise, labels), theirs(unet, scheduler, noise, labels)
    unet, scheduler = exact(unet, scheduler)
    truth, moved = (theirs(unet, scheduler, noise.double(), labels, d) for d in (0.0, DISTURBANCE))
    assert truth.dtype == torch.float64; dpmsolver.torch = torch
    far = lambda images: (images.double() - truth).abs().flatten(1).amax(1)
    scale = max(1.0, truth.abs().max().item()); e, p, m = (far(x) / scale for x in (made, peer, moved))
    ill = m > 1e-4; well = e[~ill]
    ok = bool((well < TOLERANCE).all() and (e[ill] < 10 * m[ill]).all() and ill.float().mean() <= MOST_ILL)
    figures = dict(what=what, scheduler=type(scheduler).__name__, passed=ok, trajectories=flags.count, largest_value=truth.abs().max().item(), duet=quantiles(well), diffusers=quantiles(p[~ill]),
        ill_conditioned=[dict(trajectory=i, label=None if labels is None else labels[i].item(), moved=m[i].item(), duet=e[i].item(), diffusers=p[i].item()) for i in ill.nonzero().flatten().tolist()])
    say = lambda q: f"median {q['median']:.1e}, of 90 % {q['ninety']:.1e}, largest {q['largest']:.1e}"
    print(f"{'pass' if ok else 'FAIL'}  {what}, {figures['scheduler']}: {len(well)} of {flags.count} trajectories against f64, values up to {figures['largest_value']:.1f}")
    print(f"      error of Duet       {say(figures['duet'])}\n      error of diffusers  {say(figures['diffusers'])}")
    for i in figures["ill_conditioned"]:
        print(f"      ill-conditioned: trajectory {i['trajectory']}, class {i['label']}: a disturbance of {DISTURBANCE:.0e} moves it by {i['moved']:.1e}; error of Duet {i['duet']:.1e}, of diffusers {i['diffusers']:.1e}")
    sys.stdout.flush()
    return figures

def main():
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("folders", nargs="*", type=pathlib.Path, metavar="FOLDER")
    flags.add_argument("--xtask", help="the built program [default: cargo xtask]"); flags.add_argument("--json", type=pathlib.Path, help="write the figures here too")
    flags.add_argument("--count", type=int, default=50, help="trajectories"); flags = flags.parse_args()
    flags.xtask = [flags.xtask] if flags.xtask else ["cargo", "xtask"]; figures = []
    for folder in flags.folders:
        print(type(DDIMPipeline.from_pretrained(folder)).__name__, "loads", folder)
        figures.append(compare(folder, "trained in Duet", flags))
    with tempfile.TemporaryDirectory() as made:
        torch.manual_seed(0)
        UNet2DModel(sample_size=28, in_channels=1, out_channels=1, block_out_channels=(32, 64, 64), layers_per_block=1, norm_num_groups=8, num_class_embeds=11,
            down_block_types=("DownBlock2D", "AttnDownBlock2D", "ResnetDownsampleBlock2D"), up_block_types=("ResnetUpsampleBlock2D", "AttnUpBlock2D", "UpBlock2D"),
            resnet_time_scale_shift="scale_shift").save_pretrained(f"{made}/unet")
        for scheduler in (DDIMScheduler(prediction_type="v_prediction", beta_schedule="squaredcos_cap_v2", timestep_spacing="trailing"),
                          DPMSolverMultistepScheduler(prediction_type="v_prediction", beta_schedule="squaredcos_cap_v2")):
            scheduler.save_pretrained(f"{made}/scheduler")
            figures.append(compare(pathlib.Path(made), "made in diffusers", flags))
    if flags.json: flags.json.write_text(json.dumps(figures, indent=1))
    sys.exit(0 if all(f["passed"] for f in figures) else 1)

if __name__ == "__main__":
    main()
