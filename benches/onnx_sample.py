"""Draws images with what `cargo xtask export --onnx MODEL.onnx` wrote: pip install onnxruntime numpy.

usage: onnx_sample.py MODEL.onnx IMAGES.npy
It draws eight images of each class and writes them as an array (n, C, H, W) of values from -1 to 1. The model needs a null label."""
import json, sys
import numpy as np, onnxruntime

def draw(file, labels, x, weight=2.0, steps=25):
    """Guided DDIM from the noise x (n, C, H, W) to images of the classes `labels` (n)."""
    net = onnxruntime.InferenceSession(file)
    notes = {name: json.loads(text) for name, text in net.get_modelmeta().custom_metadata_map.items()}
    alpha_bars, scheduler = np.array(notes["alphas_cumprod"]), notes["scheduler"]
    asked = np.append(labels, [notes["null_label"]] * len(x))
    times = np.round(np.arange(len(alpha_bars), 0, -len(alpha_bars) / steps)).astype(int) - 1
    for t, a, b in zip(times, alpha_bars[times], [*alpha_bars[times[1:]], 1.0]):
        inputs = dict(sample=np.float32([*x, *x]), timestep=np.full(len(asked), t, np.float32), class_labels=asked)
        given, free = np.split(net.run(None, inputs)[0], 2)
        p, signal, noise = free + weight * (given - free), a**0.5, (1 - a)**0.5
        if scheduler["prediction_type"] == "epsilon": x_0 = (x - noise * p) / signal
        elif scheduler["prediction_type"] == "v_prediction": x_0 = signal * x - noise * p
        else: x_0 = p
        if scheduler.get("clip_sample"): x_0 = x_0.clip(-scheduler["clip_sample_range"], scheduler["clip_sample_range"])
        x = b**0.5 * x_0 + (1 - b)**0.5 * (x - signal * x_0) / noise
    return x

def main():
    net = onnxruntime.InferenceSession(sys.argv[1]); notes = net.get_modelmeta().custom_metadata_map
    labels = np.repeat(np.arange(len(json.loads(notes["classes"]))), 8); size = json.loads(notes["unet"])["sample_size"]
    sides = size if isinstance(size, list) else [size, size]
    noise = np.random.default_rng(0).standard_normal((len(labels), net.get_inputs()[0].shape[1], *sides))
    np.save(sys.argv[2], np.float32(draw(sys.argv[1], labels, noise)))

if __name__ == "__main__": main()
