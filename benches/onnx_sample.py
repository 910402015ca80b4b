"""Draws images with a file of `cargo xtask export --onnx`: pip install onnxruntime numpy.

usage: onnx_sample.py MODEL.onnx IMAGES.npy
Draws eight images of each class, guided, and writes them as an array (n, C, H, W) with values from -1 to 1."""
import json, sys
import numpy as np, onnxruntime

def draw(file, labels, x, weight=2.0, steps=25):
    """DDIM from the noise x (n, C, H, W) over trailing timesteps, guided towards the classes `labels` (n)."""
    net = onnxruntime.InferenceSession(file)
    notes = {name: json.loads(text) for name, text in net.get_modelmeta().custom_metadata_map.items()}
    table, scheduler, asked = np.array(notes["alphas_cumprod"]), notes["scheduler"], np.append(labels, np.full(len(x), notes["null_label"]))
    times = np.round(np.arange(len(table), 0, -len(table) / steps)).astype(int) - 1
    for t, a, b in zip(times, table[times], [*table[times[1:]], 1.0]):
        inputs = dict(sample=np.append(x, x, 0), timestep=np.full(2 * len(x), t, np.float32), class_labels=asked)
        given, free = np.split(net.run(None, inputs)[0], 2)
        p, signal, noise = free + weight * (given - free), np.float32(a ** 0.5), np.float32((1 - a) ** 0.5)
        kind = scheduler["prediction_type"]
        x_0 = p if kind == "sample" else signal * x - noise * p if kind == "v_prediction" else (x - noise * p) / signal
        if scheduler.get("clip_sample"): x_0 = x_0.clip(-scheduler["clip_sample_range"], scheduler["clip_sample_range"])
        x = np.float32(b ** 0.5) * x_0 + np.float32((1 - b) ** 0.5) * (x - signal * x_0) / noise
    return x

def main():
    net = onnxruntime.InferenceSession(sys.argv[1]); notes = net.get_modelmeta().custom_metadata_map
    labels = np.repeat(np.arange(len(json.loads(notes["classes"]))), 8); size = json.loads(notes["unet"])["sample_size"]
    sides = size if isinstance(size, list) else [size, size]
    noise = np.random.default_rng(0).standard_normal((len(labels), net.get_inputs()[0].shape[1], *sides), np.float32)
    np.save(sys.argv[2], draw(sys.argv[1], labels, noise))

if __name__ == "__main__": main()
