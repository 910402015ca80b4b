"""Writes the files of this folder: CIFAR's layout with a few images, as Python pickles it.

    pip install numpy          # run with Python 3.11 and numpy 2.4.6, and with Python 2.7 and numpy 1.16.6
    python make_cifar.py

Python 2 writes published/, in the way of the published archives; Python 3 writes the others.

Image i has red i, green i + 50 and blue i + 100 everywhere, but for the first pixel of red, which is 0.
"""
import os
import pickle
import sys

import numpy as np

FINE = [4, 30, 99]
COARSE = [0, 0, 19]
HERE = os.path.dirname(os.path.abspath(__file__))


def data(first, count):
    planes = [np.repeat(first + np.arange(count)[:, None] + 50 * c, 1024, axis=1) for c in range(3)]
    whole = np.concatenate(planes, axis=1).astype(np.uint8)
    whole[:, 0] = 0
    return whole


def save(name, what, protocol):
    path = os.path.join(HERE, name)
    if not os.path.isdir(os.path.dirname(path)):
        os.makedirs(os.path.dirname(path))
    with open(path, "wb") as file:
        pickle.dump(what, file, protocol=protocol)


def whole(first, count):
    return {
        "filenames": ["image_%d.png" % i for i in range(count)],
        "batch_label": "training batch 1 of 1",
        "fine_labels": FINE[:count],
        "coarse_labels": COARSE[:count],
        "data": data(first, count),
    }


def hundred(folder, protocol, change=lambda whole: whole):
    save(folder + "/train", change(whole(10, 3)), protocol)
    save(folder + "/test", change(whole(40, 1)), protocol)


def published():
    import cPickle
    save.__globals__["pickle"] = cPickle
    hundred("published/cifar-100-python", 2)
    names = {"fine_label_names": ["fine_%d" % i for i in range(100)],
             "coarse_label_names": ["coarse_%d" % i for i in range(20)]}
    save("published/cifar-100-python/meta", names, 2)
    ten = "published/cifar-10-batches-py/"
    for i, name in enumerate(["data_batch_%d" % i for i in range(1, 6)] + ["test_batch"]):
        save(ten + name, {
            "batch_label": "training batch %d of 5" % (i + 1), "labels": [i], "data": data(10 * i, 1),
            "filenames": ["image.png"]}, 2)
    save(ten + "batches.meta", {
        "num_cases_per_batch": 1, "label_names": ["name_%d" % i for i in range(10)], "num_vis": 3072}, 2)


if sys.version_info < (3,):
    published()
    sys.exit()

# Saved again by Python 3, in every protocol, with keys as texts or, as encoding="bytes" reads them, bytes.
for protocol in (2, 3, 4, 5):
    hundred("again%d" % protocol, protocol)
hundred("bytes2", 2, lambda whole: {key.encode(): value for key, value in whole.items()})
hundred("bytes4", 4, lambda whole: {key.encode(): value for key, value in whole.items()})
# Labels as arrays, images in Fortran's order.
hundred("arrays", 4, lambda whole: dict(
    whole, data=np.asfortranarray(whole["data"]), fine_labels=np.array(whole["fine_labels"])))
hundred("arrays5", 5, lambda whole: dict(
    whole, data=np.asfortranarray(whole["data"]),
    fine_labels=np.array(whole["fine_labels"], dtype=">i2")[:, None]))

for name, change in {
    "floats": lambda whole: dict(whole, data=whole["data"] / np.float32(255)),
    "objects": lambda whole: dict(whole, data=whole["data"][:, :9].astype(object)),
    "narrow": lambda whole: dict(whole, data=whole["data"][:, :1024]),
    "fewer": lambda whole: dict(whole, fine_labels=[]),
    "far": lambda whole: dict(whole, fine_labels=[100]),
    "words": lambda whole: dict(whole, fine_labels=["cat"]),
    "scalars": lambda whole: dict(whole, fine_labels=list(np.array(whole["fine_labels"]))),
    "unnamed": lambda whole: {"images": whole["data"], "labels": whole["fine_labels"]},
    "list": lambda whole: [whole["fine_labels"]],
    "records": lambda whole: dict(whole, data=np.zeros(1, dtype=[("x", "u1"), ("y", "u1")])),
    "matrix": lambda whole: dict(whole, data=np.ma.masked_array(whole["data"][:, :9])),
}.items():
    save("bad/" + name, change(whole(10, 1)), 4)


class Call:
    """What a hostile file does: it calls a function when it is read."""

    def __reduce__(self):
        return os.system, ("touch duet-was-here",)


for protocol in (2, 4):
    save("bad/call%d" % protocol, dict(whole(10, 1), data=Call()), protocol)
save("bad/oldest", dict(whole(10, 1), data=1), 0)
