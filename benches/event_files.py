"""TensorBoard's own reader and writer, to compare Duet's event files with: pip install tensorboard.

usage: event_files.py check RUN ...   compares the event file of each run with its metrics.jsonl, samples/ and config.toml
       event_files.py write FILE      writes a few events, as crates/diffusion/src/tensorboard.rs is tested with

`check` fails where a step is there twice or missing, where a number or a picture is another one, and where the times go back."""
import base64, json, pathlib, sys, tomllib
import numpy as np
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.compat.tensorflow_stub.dtypes import string
from tensorboard.summary.writer.record_writer import RecordWriter

GROUPS = {"held_out_loss": "held_out/loss", "score": "eval", "memorisation": "copies"}

def numbers(tag, value):
    """Every number under a key of the metrics, by its tag."""
    if not isinstance(value, dict): return {tag: value}
    return {k: v for key, inner in value.items() for k, v in numbers(f"{tag}/{key}", inner).items()}

def check(run):
    run = pathlib.Path(run)
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    expected = {}
    for line in lines:
        for key, value in line.items():
            if key == "step": continue
            for tag, number in numbers(GROUPS.get(key, f"train/{key}"), value).items():
                expected.setdefault(tag, []).append((line["step"], np.float32(number)))
    board = EventAccumulator(str(run), size_guidance=dict(scalars=0, images=0, tensors=0)).Reload()
    found = {tag: [(e.step, np.float32(e.value)) for e in board.Scalars(tag)] for tag in board.Tags()["scalars"]}
    speed = found.pop("train/images_per_second")
    assert found == expected, f"{run}: other numbers: {sorted(set(found) ^ set(expected)) or found}"
    assert {step for step, _ in speed} <= {line["step"] for line in lines} and all(value > 0 for _, value in speed)
    pictures = [(e.step, e.encoded_image_string, (e.width, e.height)) for e in board.Images("preview")]
    files = [(int(path.stem[5:]), path.read_bytes()) for path in sorted((run / "samples").glob("step-*.png"))]
    sides = [tuple(int.from_bytes(png[at:at + 4]) for at in (16, 20)) for _, png in files]
    assert pictures == [(*file, size) for file, size in zip(files, sides)], f"{run}: other previews"
    [text] = board.Tensors("config")
    [text] = text.tensor_proto.string_val
    text = text.decode().removeprefix("```toml\n").removesuffix("```\n")
    assert text == (run / "config.toml").read_text() and tomllib.loads(text), f"{run}: another configuration"
    [path] = run.glob("*tfevents*")
    times = [Event.FromString(event).wall_time for event in RawEventFileLoader(str(path)).Load()]
    assert times == sorted(times), f"{run}: the times go back"
    print(f"pass     {run}: {len(lines)} steps, {len(expected) + 1} curves, {len(pictures)} previews")

def write(path):
    png = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAIAAAABCAAAAADRSSBWAAAAC0lEQVR4nGNg+A8AAQIBAEK+vGgAAAAASUVORK5CYII=")
    metadata = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="text"))
    tensor = TensorProto(dtype=string.as_datatype_enum, string_val=[b"**bold**"])
    tensor.tensor_shape.SetInParent()
    image = Summary.Image(width=2, height=1, colorspace=1, encoded_image_string=png)
    events = [
        Event(wall_time=1.5, file_version="brain.Event:2"),
        Event(wall_time=1.5, summary=Summary(value=[Summary.Value(tag="config", tensor=tensor, metadata=metadata)])),
        Event(wall_time=1764000000.25, step=1, summary=Summary(value=[
            Summary.Value(tag="train/loss", simple_value=0.75), Summary.Value(tag="train/learning_rate", simple_value=0.0)])),
        Event(wall_time=1764000001.0, step=300, summary=Summary(value=[Summary.Value(tag="preview", image=image)])),
    ]
    with open(path, "wb") as file:
        writer = RecordWriter(file)
        for event in events: writer.write(event.SerializeToString(deterministic=True))

if __name__ == "__main__":
    command, *paths = sys.argv[1:] or ["help"]
    if command not in ("check", "write") or not paths: sys.exit(__doc__)
    for path in paths: (check if command == "check" else write)(path)
