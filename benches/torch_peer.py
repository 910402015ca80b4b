"""torch's side of `cargo xtask bench --torch PYTHON`: one network (or convolution) and one task.

pip install torch diffusers
usage: torch_peer.py TASK NETWORK.json [--threads 2] [--steps 25] [--channels-last] [--compile] [--batch N] [--side N] [--channels N]
       torch_peer.py conv-forward|conv-both INPUTS,OUTPUTS,SIDE ...
Says "ready" once warm; then each line on its input is one turn of about 0.3 seconds, answered with "seconds peak-memory-in-bytes", the
seconds of one repeat."""
import argparse, json, math, resource, sys, time
import torch
from diffusers import DDIMScheduler, UNet2DModel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

GUIDANCE, CONV_BATCH, TURN = 2.0, 64, 0.3

def scheduler():
    return DDIMScheduler(beta_schedule="squaredcos_cap_v2", prediction_type="v_prediction", timestep_spacing="trailing", clip_sample=True)

def shape(config, batch): return batch, config["in_channels"], config["sample_size"], config["sample_size"]

def forward(model, config, null, flags):
    batch = config["_batch"]
    x = torch.randn(shape(config, batch)).to(memory_format=flags.layout)
    t, labels = torch.arange(batch) * 15 % 1000, torch.arange(batch) % 10
    @torch.no_grad()
    def run(): model(x, t, class_labels=labels)
    return run

def train(model, config, null, flags):
    """What Trainer::step does: draws, v loss, backward, clipping, AdamW, EMA."""
    batch = config["_batch"]
    images, labels = torch.rand(shape(config, batch)).to(memory_format=flags.layout) * 2 - 1, torch.arange(batch) % 10
    parameters, noising = list(model.parameters()), scheduler()
    optimizer = torch.optim.AdamW(parameters, lr=2e-3, betas=(0.9, 0.99), weight_decay=0.01, fused=True)
    ema = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.995))
    def run():
        noise, t = torch.randn_like(images), torch.randint(0, 1000, (batch,))
        dropped = torch.where(torch.rand(batch) < 0.1, null, labels)
        prediction = model(noising.add_noise(images, noise, t), t, class_labels=dropped).sample
        loss = torch.nn.functional.mse_loss(prediction, noising.get_velocity(images, noise, t))
        optimizer.zero_grad(); loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step(); ema.update_parameters(model); loss.item()
    return run

def sample(model, config, null, flags):
    """Both passes of guidance as one batch, as Guidance::predict runs them."""
    labels, ddim = torch.arange(config["_samples"]) % 10, scheduler()
    both = torch.cat([labels, torch.full_like(labels, null)])
    @torch.no_grad()
    def run():
        ddim.set_timesteps(flags.steps); x = torch.randn(shape(config, config["_samples"])).to(memory_format=flags.layout)
        for t in ddim.timesteps:
            conditional, free = model(torch.cat([x, x]), t, class_labels=both).sample.chunk(2)
            x = ddim.step(free + GUIDANCE * (conditional - free), t, x, use_clipped_model_output=True).prev_sample
    return run

def convolution(task, sizes, flags):
    inputs, outputs, side = map(int, sizes.split(","))
    conv = torch.nn.Conv2d(inputs, outputs, 3, padding=1).to(memory_format=flags.layout)
    x = torch.randn(CONV_BATCH, inputs, side, side).to(memory_format=flags.layout).requires_grad_(task == "conv-both")
    grad = torch.randn(CONV_BATCH, outputs, side, side).to(memory_format=flags.layout)
    def both(): conv(x).backward(grad); x.grad = conv.weight.grad = conv.bias.grad = None
    @torch.no_grad()
    def alone(): conv(x)
    return both if task == "conv-both" else alone

def main():
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("task"); flags.add_argument("network")
    flags.add_argument("--threads", type=int, default=2); flags.add_argument("--steps", type=int, default=25)
    flags.add_argument("--channels-last", action="store_true"); flags.add_argument("--compile", action="store_true")
    for size in ["--batch", "--side", "--channels"]: flags.add_argument(size, type=int)
    flags = flags.parse_args()
    torch.set_num_threads(flags.threads); torch.manual_seed(0)
    flags.layout = torch.channels_last if flags.channels_last else torch.contiguous_format
    if flags.task.startswith("conv-"):
        run = convolution(flags.task, flags.network, flags)
    else:
        config = json.load(open(flags.network))
        if flags.batch: config["_batch"] = config["_samples"] = flags.batch
        if flags.side: config["sample_size"] = flags.side
        if flags.channels: config["block_out_channels"] = [width * flags.channels // config["block_out_channels"][0] for width in config["block_out_channels"]]
        model = UNet2DModel.from_config({k: v for k, v in config.items() if not k.startswith("_")}).to(memory_format=flags.layout)
        if flags.compile: model.compile()
        run = dict(forward=forward, train=train, sample=sample)[flags.task](model, config, config["num_class_embeds"] - 1, flags)
    warm = 0
    for i in range(3):
        start = time.perf_counter()
        if i < 2 or warm < 5:
            run()
            warm = time.perf_counter() - start
    times = min(max(math.ceil(TURN / warm), 1), 1000)
    print("ready", flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        for _ in range(times): run()
        print((time.perf_counter() - start) / times, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, flush=True)

main()
