"""Runs networks in onnxruntime, and compares: pip install onnxruntime onnx numpy.

usage: onnx_networks.py FOLDER
Each NAME.onnx is checked by onnx and run with x, t and, if there are any, labels of NAME.safetensors. It fails if an output differs
from `out` there by more than 1e-5 of the largest value."""
import json, pathlib, sys
import numpy as np, onnx, onnxruntime

TOLERANCE = 1e-5

def read(path):
    """The tensors of a safetensors file."""
    data = path.read_bytes(); length = int.from_bytes(data[:8], "little"); header = json.loads(data[8:8 + length]); kinds = dict(F32="<f4", I64="<i8")
    part = lambda e: data[8 + length + e["data_offsets"][0]:8 + length + e["data_offsets"][1]]
    return {name: np.frombuffer(part(e), kinds[e["dtype"]]).reshape(e["shape"]) for name, e in header.items() if name != "__metadata__"}

def error(path):
    """The largest difference, for the whole batch and for its first image alone."""
    onnx.checker.check_model(onnx.load(path), full_check=True)
    net, io = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]), read(path.with_suffix(".safetensors"))
    inputs = dict(sample=io["x"], timestep=io["t"].astype(np.float32)) | ({"class_labels": io["labels"]} if "labels" in io else {})
    assert set(inputs) == {i.name for i in net.get_inputs()} and [o.name for o in net.get_outputs()] == ["out_sample"], path
    outs = [net.run(None, {name: value[:n] for name, value in inputs.items()})[0] for n in (len(io["x"]), 1)]
    return max(np.abs(out - io["out"][:len(out)]).max() for out in outs) / np.abs(io["out"]).max()

def main():
    paths = sorted(pathlib.Path(sys.argv[1]).glob("*.onnx")); errors = {path.stem: error(path) for path in paths}
    for name, e in errors.items(): print(f"{'pass' if e <= TOLERANCE else 'FAIL'}  {e:.1e}  {name}")
    print(f"onnxruntime {onnxruntime.__version__}: {len(errors)} networks, largest error {max(errors.values()):.1e}")
    sys.exit(0 if all(e <= TOLERANCE for e in errors.values()) else 1)

if __name__ == "__main__": main()
