"""Loads a checkpoint in diffusers and says whether it is whole: pip install torch diffusers.

usage: check_diffusers.py CHECKPOINT"""
import sys, warnings
import torch
from diffusers import DDIMPipeline, DDIMScheduler, UNet2DModel

folder = sys.argv[1]
warnings.simplefilter("error")
unet, info = UNet2DModel.from_pretrained(folder, subfolder="unet", output_loading_info=True)
assert not any(info[k] for k in ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs")), info
scheduler = DDIMScheduler.from_pretrained(folder, subfolder="scheduler")
pipeline = DDIMPipeline.from_pretrained(folder)
with torch.no_grad():
    x = torch.randn(2, unet.config.in_channels, unet.config.sample_size, unet.config.sample_size)
    out = unet(x, torch.tensor([10, 900]), class_labels=torch.tensor([0, unet.config.num_class_embeds - 1])).sample
print(type(pipeline).__name__, out.shape, "finite:", bool(out.isfinite().all()), scheduler.config.prediction_type)
