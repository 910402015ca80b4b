"""Compares networks and drawings in onnxruntime with Duet's: pip install onnxruntime onnx numpy.

usage: compare_onnx.py networks FOLDER
       compare_onnx.py images MODEL.onnx NOISE.safetensors IMAGES.safetensors WEIGHT STEPS
`networks` has onnx check each NAME.onnx of the folder, and runs it with x, t and, if there are any, labels of NAME.safetensors. It fails
if an output differs from `out` there by more than 1e-5 of the largest value.
`images` draws by onnx_sample.py from the noise and labels that `sample --save-noise` wrote. It fails if an image differs from those of
`sample` by more than 1e-4 of the largest value."""
import json, pathlib, sys
import numpy as np, onnx, onnxruntime
from onnx_sample import draw

def read(path):
    """The tensors of a safetensors file."""
    data = path.read_bytes(); length = int.from_bytes(data[:8], "little"); header = json.loads(data[8:8 + length]); kinds = dict(F32="<f4", I64="<i8")
    part = lambda e: data[8 + length + e["data_offsets"][0]:8 + length + e["data_offsets"][1]]
    return {name: np.frombuffer(part(e), kinds[e["dtype"]]).reshape(e["shape"]) for name, e in header.items() if name != "__metadata__"}

def check(path): onnx.checker.check_model(onnx.load(path), full_check=True)

def of_network(path):
    """The largest error, for the whole batch and for its first image alone."""
    net, io = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]), read(path.with_suffix(".safetensors"))
    inputs = dict(sample=io["x"], timestep=io["t"]) | ({"class_labels": io["labels"]} if "labels" in io else {})
    assert set(inputs) == {i.name for i in net.get_inputs()} and [o.name for o in net.get_outputs()] == ["out_sample"], path
    outs = [net.run(None, {name: value[:n] for name, value in inputs.items()})[0] for n in (len(io["x"]), 1)]
    return max(np.abs(out - io["out"][:len(out)]).max() for out in outs) / np.abs(io["out"]).max()

def of_images(model, noise, images, weight, steps):
    noise, images = read(noise), read(images)["images"]
    return np.abs(draw(model, noise["labels"], noise["noise"], weight, steps) - images).max() / np.abs(images).max()

def main():
    what, path, rest = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3:]
    paths = sorted(path.glob("*.onnx")) if what == "networks" else [path]
    for path in paths: check(path)
    if what == "networks": tolerance, errors = 1e-5, {path.stem: of_network(path) for path in paths}
    else: tolerance, errors = 1e-4, {path.stem: of_images(path, *map(pathlib.Path, rest[:2]), float(rest[2]), int(rest[3]))}
    for name, error in errors.items(): print(f"{'pass' if error <= tolerance else 'FAIL'}  {error:.1e}  {name}")
    print(f"onnxruntime {onnxruntime.__version__}: {what}, {len(errors)} compared, largest error {max(errors.values()):.1e}")
    sys.exit(0 if all(error <= tolerance for error in errors.values()) else 1)

if __name__ == "__main__": main()
