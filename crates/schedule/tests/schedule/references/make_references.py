"""Makes references.json with torch 2.15 and diffusers 0.42 (pip install torch diffusers): make_references.py OUT

alphas_cumprod.<schedule>: [t, alpha_bar] pairs; timesteps.<spacing>.<N>: the timesteps of N steps out of 1000.
"sigmoid" is computed here in numpy's f64, by the formula of Jabri et al. 2022 cut up as diffusers cuts up its cosine."""
import json, sys
import numpy as np
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler

SAMPLED = [0, 1, 10, 100, 250, 500, 750, 900, 990, 998, 999]
STEPS = [2, 3, 7, 10, 16, 30, 48, 50, 96]

def table(alphas_cumprod):
    return [[t, float(alphas_cumprod[t])] for t in SAMPLED]

def sigmoid():
    s = lambda x: 1 / (1 + np.exp(-x))
    a = (s(3) - s(-3 + 6 * np.linspace(0, 1, 1001))) / (s(3) - s(-3))
    return np.cumprod(1 - np.minimum(1 - a[1:] / a[:-1], 0.999))

alphas, timesteps = {}, {}
for name in ("linear", "scaled_linear", "squaredcos_cap_v2"):
    for zero_snr in (False, True):
        scheduler = DDIMScheduler(beta_schedule=name, rescale_betas_zero_snr=zero_snr)
        alphas[name + (".zero_snr" if zero_snr else "")] = table(scheduler.alphas_cumprod)
alphas["sigmoid"] = table(sigmoid())
for spacing in ("leading", "trailing", "linspace"):
    for n in STEPS:
        scheduler = DDIMScheduler(timestep_spacing=spacing); scheduler.set_timesteps(n)
        timesteps[f"{spacing}.{n}"] = scheduler.timesteps.tolist()
for n in (2, 5, 10, 20):
    scheduler = DPMSolverMultistepScheduler(beta_schedule="linear", use_karras_sigmas=True); scheduler.set_timesteps(n)
    timesteps[f"karras.{n}"] = scheduler.timesteps.tolist()
with open(sys.argv[1], "w") as out:
    json.dump({"alphas_cumprod": alphas, "timesteps": timesteps}, out, separators=(",", ":"))
    out.write("\n")
