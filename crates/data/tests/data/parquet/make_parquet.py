"""Writes the files of this folder: labelled images in parquet, as the ecosystem writes them.

    pip install numpy pandas pyarrow Pillow polars duckdb datasets
    python make_parquet.py

Image i is a PNG of 6x5 pixels whose red is 20 i, green 3 x and blue 4 y.
"""
import io
import json
import os

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

HERE = os.path.dirname(os.path.abspath(__file__))
NAMES = ["bird", "cat", "dog"]


def png(i):
    pixels = np.zeros((5, 6, 3), np.uint8)
    pixels[..., 0] = 20 * i
    pixels[..., 1] = 3 * np.arange(6)[None, :]
    pixels[..., 2] = 4 * np.arange(5)[:, None]
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def images(first, count):
    cells = [{"bytes": png(i), "path": "%d.png" % i} for i in range(first, first + count)]
    return pa.array(cells, pa.struct([("bytes", pa.binary()), ("path", pa.string())]))


def hub(features):
    return {"huggingface": json.dumps({"info": {"features": features}})}


def class_label(names):
    return {"names": names, "_type": "ClassLabel"}


def write(name, columns, metadata=None, **options):
    path = os.path.join(HERE, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    pq.write_table(pa.table(columns).replace_schema_metadata(metadata), path, **options)


LABELS = [0, 1, 2, 2, 1, 0]
FEATURES = {"image": {"_type": "Image"}, "label": class_label(NAMES)}

# As hubs have them: parts of a split in data/, and a folder for each split.
for shard in range(2):
    write("hub/data/train-%05d-of-00002.parquet" % shard, {
        "image": images(3 * shard, 3), "label": pa.array(LABELS[3 * shard:][:3], pa.int64())}, hub(FEATURES))
for name, first in (("test", 6), ("validation", 8)):
    write("hub/data/%s-00000-of-00001.parquet" % name, {
        "image": images(first, 2), "label": pa.array([2, 0], pa.int64())}, hub(FEATURES))
write("converted/default/train/0000.parquet", {"image": images(0, 4), "label": LABELS[:4]}, hub(FEATURES))
write("converted/default/test/0000.parquet", {"image": images(6, 2), "label": [-1, -1]}, hub(FEATURES))

# CIFAR-100's two labels.
for name, first in (("train", 0), ("test", 6)):
    count = 6 if name == "train" else 2
    write("hundred/%s.parquet" % name, {
        "img": images(first, count), "fine_label": pa.array(range(count), pa.int64()),
        "coarse_label": pa.array([i // 3 for i in range(count)], pa.int64())}, hub({
            "img": {"_type": "Image"}, "fine_label": class_label(["f%d" % i for i in range(6)]),
            "coarse_label": class_label(["c0", "c1"])}))

# Every way to pack pages, all of the same table.
TABLE = {"image": images(0, 6), "label": pa.array(LABELS, pa.int64())}
for codec in ("none", "snappy", "gzip", "zstd"):
    write("packed/%s.parquet" % codec, TABLE, compression=codec)
    write("packed/%s-v2.parquet" % codec, TABLE, compression=codec, version="2.6", data_page_version="2.0")
write("packed/groups.parquet", TABLE, row_group_size=2, use_dictionary=False, data_page_size=64)
write("packed/delta.parquet", TABLE, use_dictionary=False, column_encoding={
    "image.bytes": "DELTA_LENGTH_BYTE_ARRAY", "image.path": "DELTA_BYTE_ARRAY", "label": "DELTA_BINARY_PACKED"})
write("packed/small.parquet", dict(TABLE, label=pa.array(LABELS, pa.uint8())))
write("packed/required.parquet", {"image": pa.array([png(i) for i in range(6)]), "label": pa.array(LABELS)})

# pandas, with bytes alone and labels of words; polars and duckdb.
frame = pd.DataFrame({"id": range(6), "jpg": [png(i) for i in range(6)], "label": [NAMES[i] for i in LABELS]})
frame.to_parquet(os.path.join(HERE, "packed/pandas-words.parquet"))
frame["label"] = frame["label"].astype("category")
frame.to_parquet(os.path.join(HERE, "packed/pandas-category.parquet"))
import duckdb
import polars as pl
plain = pl.DataFrame({"image": [png(i) for i in range(6)], "label": LABELS})
plain.write_parquet(os.path.join(HERE, "packed/polars.parquet"))
duckdb.sql("COPY plain TO '%s/packed/duckdb.parquet' (FORMAT parquet, PARQUET_VERSION v2)" % HERE)
# The library of the hubs itself.
import datasets
features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=NAMES)})
rows = {"image": [{"bytes": png(i), "path": None} for i in range(6)], "label": LABELS}
datasets.Dataset.from_dict(rows, features).to_parquet(os.path.join(HERE, "packed/datasets.parquet"))

BINARY = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
for name, columns, metadata in [
    ("null-image", dict(TABLE, image=pa.array([{"bytes": png(0), "path": "a"}, None] * 3, BINARY)), None),
    ("null-bytes", dict(TABLE, image=pa.array([{"bytes": png(0), "path": "a"}, {"bytes": None, "path": "b"}] * 3, BINARY)), None),
    ("null-label", dict(TABLE, label=pa.array([0, 1, None, 1, 2, 2])), None),
    ("empty", dict(TABLE, image=pa.array([{"bytes": b"", "path": "a"}] * 6, BINARY)), None),
    ("no-image", dict(TABLE, image=pa.array([{"bytes": b"GIF89a", "path": "a"}] * 6, BINARY)), None),
    ("floats", dict(TABLE, label=pa.array([0.5] * 6)), None),
    ("lists", {"image": pa.array([[1, 2], [3]] * 3), "label": pa.array(LABELS)}, None),
    ("list-label", dict(TABLE, label=pa.array([[1], [2]] * 3)), None),
    ("unlabelled", {"image": images(0, 6)}, None),
    ("two-images", dict(TABLE, other=images(0, 6)), None),
    ("two-labels", dict(TABLE, labels=pa.array(LABELS)), None),
    ("words-alone", {"text": pa.array(["a"] * 6), "label": pa.array(LABELS)}, None),
    ("far", dict(TABLE, label=pa.array([0, 1, 2, 3, 1, 1])), hub(FEATURES)),
    ("negative", dict(TABLE, label=pa.array([0, 1, 2, -1, 1, 1])), None),
    ("huge", dict(TABLE, label=pa.array([0, 1, 2, 2**40, 1, 1])), None),
    ("bad-json", TABLE, {"huggingface": "{"}),
    ("strings", dict(TABLE, image=pa.array(["aGVsbG8="] * 6)), hub(FEATURES)),
    ("none", {"image": images(0, 0), "label": pa.array([], pa.int64())}, None),
]:
    write("bad/%s.parquet" % name, columns, metadata)
write("bad/brotli.parquet", TABLE, compression="brotli")
