"""Writes the archives beside it, each with the tool that people make such archives with.

python -m venv venv && venv/bin/pip install pillow webdataset && venv/bin/python make_archives.py
Info-ZIP's `zip` must be installed, for the encrypted one.
"""

import io
import json
import subprocess
import tarfile
import tempfile
import warnings
import zipfile
from pathlib import Path

import webdataset
from PIL import Image

HERE = Path(__file__).parent
STAMP = (2026, 11, 27, 8, 0, 0)


def picture(value, kind="PNG"):
    """A grey picture, 4 wide and 3 high: value + x + 4 y."""
    image = Image.frombytes("L", (4, 3), bytes(value + i for i in range(12)))
    file = io.BytesIO()
    image.save(file, kind, **({"quality": 95} if kind == "JPEG" else {}))
    return file.getvalue()


def write_zip(name, members, method=zipfile.ZIP_DEFLATED, **options):
    with warnings.catch_warnings(), zipfile.ZipFile(HERE / name, "w", method) as archive:
        # Names that are there twice are meant.
        warnings.simplefilter("ignore")
        for member, content in members:
            info = zipfile.ZipInfo(member, STAMP)
            info.compress_type = zipfile.ZIP_STORED if member.endswith("/") else method
            info.external_attr = 0o40755 << 16 if member.endswith("/") else 0o100644 << 16
            with archive.open(info, "w", **options) as file:
                file.write(content)


def write_tar(name, members, mode="w", format=tarfile.PAX_FORMAT):
    with tarfile.open(HERE / name, mode, format=format) as archive:
        for member, content in members:
            info = tarfile.TarInfo(member)
            info.mtime = 1_795_766_400
            if content is None:
                info.type = tarfile.DIRTYPE
                archive.addfile(info)
            else:
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))


def classes(top):
    """Two classes of 12 and 5 images, and what macOS adds."""
    members = [(f"{top}cat/{i:02}.png", picture(i)) for i in range(12)]
    members += [(f"{top}dog/{i}.jpg", picture(100 + 20 * i, "JPEG")) for i in range(5)]
    members += [(f"{top}.DS_Store", b"macOS"), (f"__MACOSX/{top}cat/._00.png", b"macOS")]
    return members


def splits(top):
    names = [("train/a/1.png", 1), ("train/a/2.png", 2), ("train/b/1.png", 3), ("test/a/9.png", 4), ("test/b/9.png", 5)]
    return [(top + name, picture(10 * value)) for name, value in names]


# What Finder makes of a folder: the folder itself is in it, and so is __MACOSX.
write_zip("classes.zip", [("photos/", b""), ("photos/cat/", b"")] + classes("photos/"))
write_zip("splits.zip", splits(""), zipfile.ZIP_STORED)
write_zip("zip64.zip", splits("a/b/"), force_zip64=True)
write_zip("flat.zip", [(f"{name}_{i:03}.png", picture(40 * c + i)) for c, name in enumerate(["cat", "dog"]) for i in range(6)])
write_zip("scripts.zip", [(f"{name}/1.png", picture(9)) for name in ["größe", "日本"]])
write_zip("lzma.zip", splits(""), zipfile.ZIP_LZMA)
write_zip("twice.zip", [("a/1.png", picture(1)), ("a/2.png", picture(2)), ("b/1.png", picture(3)), ("a/2.png", picture(4))])
write_zip("leaves.zip", [("a/1.png", picture(1)), ("a/../../2.png", picture(2))])
write_zip("absolute.zip", [("a/1.png", picture(1)), ("/etc/2.png", picture(2))])
write_zip("nested.zip", [("classes.zip", (HERE / "classes.zip").read_bytes())])
write_zip("tables.zip", [("train.csv", b"label,pixel0\n1,2\n"), ("test.csv", b"pixel0\n2\n")])

# A link of Unix in a zip archive.
write_zip("link.zip", splits(""))
with zipfile.ZipFile(HERE / "link.zip", "a") as archive:
    info = zipfile.ZipInfo("train/a/3.png", STAMP)
    info.external_attr = 0o120777 << 16
    archive.writestr(info, "/etc/passwd")

with tempfile.TemporaryDirectory() as folder:
    for name, content in splits(""):
        path = Path(folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (HERE / "encrypted.zip").unlink(missing_ok=True)
    subprocess.run(["zip", "-q", "-r", "-X", "-P", "secret", HERE / "encrypted.zip", "train", "test"], cwd=folder, check=True)

# As EDM's dataset_tool.py lays a set out: images in folders of 1,000, stored, and a dataset.json behind them.
names = [f"{i // 1000:05}/img{i:08}.png" for i in range(15)]
images = [(name, picture(10 * i)) for i, name in enumerate(names)]
labels = [[name, i % 3] for i, name in enumerate(names)]


def edm(name, labels, images=images, more=()):
    content = json.dumps({"labels": labels}).encode()
    write_zip(name, [*images, ("dataset.json", content), *more], zipfile.ZIP_STORED)


edm("edm.zip", labels)
edm("edm-named.zip", labels, more=[("classes.txt", b"red\ngreen\nblue\n")])
edm("edm-null.zip", None)
edm("edm-half.zip", [[names[0], 1], [names[1], 0.5]])
edm("edm-negative.zip", [[names[0], -1]])
edm("edm-fewer.zip", labels[:-1])
edm("edm-more.zip", labels + [["00000/img00000099.png", 1]])
edm("edm-twice.zip", labels + [labels[0]])

# `tar -C folder .` begins each name with a dot.
write_tar("classes.tar", [(".", None), ("./cat", None)] + [("./" + name, content) for name, content in classes("")])
write_tar("classes.tar.gz", classes("photos/"), "w:gz")
deep = "/".join(["a folder with a long name"] * 6) + "/"
write_tar("long-gnu.tar", splits(deep), format=tarfile.GNU_FORMAT)
write_tar("long-pax.tar", splits(deep), format=tarfile.PAX_FORMAT)
write_tar("twice.tar", [("a/1.png", picture(1)), ("a/2.png", picture(2)), ("a/1.png", picture(3))])
write_tar("leaves.tar", [("a/1.png", picture(1)), ("../2.png", picture(2))])
write_tar("absolute.tar", [("a/1.png", picture(1)), ("/etc/2.png", picture(2))])
with tarfile.open(HERE / "special.tar", "w") as archive:
    for name, kind in [("a/link.png", tarfile.SYMTYPE), ("a/hard.png", tarfile.LNKTYPE), ("a/zero.png", tarfile.CHRTYPE), ("a/pipe.png", tarfile.FIFOTYPE)]:
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, "/etc/passwd"
        archive.addfile(info)
    for name, content in splits(""):
        info = tarfile.TarInfo(name)
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))


def shard(name, samples):
    with webdataset.TarWriter(str(HERE / name), mtime=0) as writer:
        for sample in samples:
            writer.write(sample)


def sample(i, **more):
    return {"__key__": f"{i:06}", "png": picture(10 * i), "cls": i % 3, **more}


(HERE / "shards").mkdir(exist_ok=True)
with webdataset.ShardWriter(str(HERE / "shards/toy-train-%06d.tar"), maxcount=6, verbose=0, mtime=0) as writer:
    for i in range(12):
        writer.write(sample(i))
shard("shards/toy-test-000000.tar", [sample(i) for i in range(12, 15)])
shard("shard.tar", [sample(i, txt=f"picture {i}") for i in range(12)])
shard("shard.tar.gz", [sample(i) for i in range(12)])
shard("json.tar", [{"__key__": f"{i:03}", "jpg": picture(10 * i, "JPEG"), "json": {"label": i % 2, "width": 4}} for i in range(6)])
shard("unlabelled.tar", [sample(0), {"__key__": "000001", "png": picture(1)}])
shard("word.tar", [sample(0), {"__key__": "000001", "png": picture(1), "cls": "cat"}])
shard("negative.tar", [sample(0), {"__key__": "000001", "png": picture(1), "cls": -1}])
shard("large.tar", [sample(0), {"__key__": "000001", "png": picture(1), "cls": 10_000}])
shard("imageless.tar", [sample(0), {"__key__": "000001", "cls": 1}])
shard("again.tar", [sample(0), sample(1), sample(0)])
