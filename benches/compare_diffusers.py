"""Samples the same noise in diffusers and in Duet: pip install torch diffusers safetensors.

usage: compare_diffusers.py FOLDER
FOLDER is a checkpoint that `cargo xtask train` saved, or what `export` or `import` wrote. It is loaded with from_pretrained,
sampled with guidance (w = 2, 25 steps), and compared with what `cargo xtask sample` draws from the same starting noise; then
the same is done with a network that diffusers makes and saves. Fails at a difference of 1e-3."""
import pathlib, subprocess, sys, tempfile, warnings
import torch
from diffusers import DDIMPipeline, DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler, UNet2DModel
from safetensors.torch import load_file, save_file

ROOT, W, STEPS, COUNT = pathlib.Path(__file__).parent.parent, 2.0, 25, 20

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
def theirs(unet, scheduler, noise, labels):
    scheduler.set_timesteps(STEPS); x = noise
    extra = dict(use_clipped_model_output=True) if isinstance(scheduler, DDIMScheduler) else {}
    for t in scheduler.timesteps:
        if labels is None: p = unet(x, t).sample
        else:
            null = torch.full_like(labels, unet.config.num_class_embeds - 1)
            given, free = unet(torch.cat([x, x]), t, torch.cat([labels, null])).sample.chunk(2)
            p = free + W * (given - free)
        x = scheduler.step(p, t, x, **extra).prev_sample
    return x

def compare(folder, what):
    unet, scheduler = load(folder); c = unet.config; g = torch.Generator().manual_seed(0)
    h, w = c.sample_size if isinstance(c.sample_size, (list, tuple)) else (c.sample_size,) * 2
    noise = torch.randn(COUNT, c.in_channels, h, w, generator=g)
    labels = torch.arange(COUNT) % (c.num_class_embeds - 1) if c.num_class_embeds else None
    with tempfile.TemporaryDirectory() as temporary:
        start, out = f"{temporary}/noise.safetensors", f"{temporary}/images.safetensors"
        save_file({"noise": noise} | ({"labels": labels} if labels is not None else {}), start)
        subprocess.run(["cargo", "xtask", "sample", "--run", str(folder.resolve()), "--noise", start, "--guidance", str(W), "--steps", str(STEPS), "--sampler", "ddim", "--interval", "all", "--history", "0", "--out", out],
            cwd=ROOT, check=True)
        ours = load_file(out)["images"]
    difference = (ours - theirs(unet, scheduler, noise, labels)).abs().max().item()
    print(f"{what}: largest difference {difference:.1e} of values up to {ours.abs().max().item():.1f}")
    assert difference < 1e-3
    return difference

if __name__ == "__main__":
    folder = pathlib.Path(sys.argv[1])
    print(type(DDIMPipeline.from_pretrained(folder)).__name__, "loads", folder)
    compare(folder, "trained in Duet")
    with tempfile.TemporaryDirectory() as made:
        torch.manual_seed(0)
        UNet2DModel(sample_size=28, in_channels=1, out_channels=1, block_out_channels=(32, 64, 64), layers_per_block=1, norm_num_groups=8, num_class_embeds=11,
            down_block_types=("DownBlock2D", "AttnDownBlock2D", "ResnetDownsampleBlock2D"), up_block_types=("ResnetUpsampleBlock2D", "AttnUpBlock2D", "UpBlock2D"),
            resnet_time_scale_shift="scale_shift").save_pretrained(f"{made}/unet")
        for scheduler in (DDIMScheduler(prediction_type="v_prediction", beta_schedule="squaredcos_cap_v2", timestep_spacing="trailing"),
                          DPMSolverMultistepScheduler(prediction_type="v_prediction", beta_schedule="squaredcos_cap_v2")):
            scheduler.save_pretrained(f"{made}/scheduler")
            compare(pathlib.Path(made), f"made in diffusers, {type(scheduler).__name__}")
