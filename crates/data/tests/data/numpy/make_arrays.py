"""Makes the arrays of this folder with NumPy 2.4 (pip install numpy): make_arrays.py OUT

Pixel (y, x) of channel c of image i is 10 i + y + 3 x + 40 c; the label of image i is i mod 3.
"""
import sys
from pathlib import Path

import numpy as np

out = Path(sys.argv[1])
out.mkdir(parents=True, exist_ok=True)


def images(first, count, channels):
    i, y, x, c = np.meshgrid(np.arange(first, first + count), np.arange(4), np.arange(5), np.arange(channels), indexing="ij")
    return (10 * i + y + 3 * x + 40 * c).astype(np.uint8)


def labels(first, count, kind=np.uint8):
    return (np.arange(first, first + count) % 3).astype(kind)


grey, colour = images(0, 6, 1)[..., 0], images(0, 6, 3)
# MedMNIST: compressed, labels (n, 1), images to validate with beside those to test with.
np.savez_compressed(
    out / "medmnist.npz",
    train_images=colour, train_labels=labels(0, 6)[:, None],
    val_images=images(6, 2, 3), val_labels=labels(6, 2)[:, None],
    test_images=images(8, 3, 3), test_labels=labels(8, 3)[:, None],
)
# Keras.
np.savez(out / "keras.npz", x_train=grey, y_train=labels(0, 6), x_test=images(6, 2, 1)[..., 0], y_test=labels(6, 2))
# Kuzushiji-MNIST: one nameless array a file.
for part, first, count in [("train", 0, 6), ("test", 6, 2)]:
    np.savez_compressed(out / f"kmnist-{part}-imgs.npz", images(first, count, 1)[..., 0])
    np.savez_compressed(out / f"kmnist-{part}-labels.npz", labels(first, count))
# One set without images to test with, in numbers of several types.
np.savez(out / "unit.npz", images=(grey / 255.0).astype(np.float32), labels=labels(0, 6, np.int64))
np.savez(out / "signed.npz", images=grey[..., None] / 127.5 - 1, labels=labels(0, 6, ">i2"))
np.savez(out / "floats.npz", X=grey.astype(">f4"), y=labels(0, 6, np.float64))
np.savez(out / "integers.npz", data=grey.astype(np.int64), target=labels(0, 6, np.int32))
np.savez(out / "planes.npz", images=colour.transpose(0, 3, 1, 2).copy(), labels=labels(0, 6))
np.savez(out / "bools.npz", images=grey > 20, labels=labels(0, 6))
np.save(out / "images.npy", grey)
np.save(out / "labels.npy", labels(0, 6))
# What is refused.
np.savez(out / "objects.npz", images=np.array([grey[0], None], dtype=object), labels=labels(0, 2))
np.savez(out / "words.npz", images=grey, labels=np.array(["cat", "dog", "cat", "dog", "cat", "dog"]))
np.savez(out / "fortran.npz", images=np.asfortranarray(grey), labels=labels(0, 6))
np.savez(out / "fewer.npz", images=grey, labels=labels(0, 5))
np.savez(out / "halves.npz", images=grey, labels=labels(0, 6) + 0.5)
np.savez(out / "negative.npz", images=grey, labels=labels(0, 6, np.int8) - 1)
np.savez(out / "thousands.npz", images=grey.astype(np.int32) * 257, labels=labels(0, 6))
# Of 16 bits: image i is 257 times its bytes, and i more.
sixteen = grey.astype(np.uint16) * 257 + np.arange(6, dtype=np.uint16)[:, None, None]
np.savez(out / "sixteen.npz", images=sixteen, labels=labels(0, 6))
np.savez(out / "colour-sixteen.npz", images=colour.astype(">u2") * 257, labels=labels(0, 6))
np.savez(out / "bytes-in-sixteen.npz", images=grey.astype(np.uint16), labels=labels(0, 6))
np.savez(out / "hot.npz", images=grey, labels=np.eye(3)[labels(0, 6)])
np.savez(out / "far.npz", images=grey * 5.0, labels=labels(0, 6))
np.savez(out / "alone.npz", images=grey)
np.savez(out / "nameless.npz", first=grey, second=labels(0, 6))
np.savez(out / "twice.npz", images=grey, x=grey, labels=labels(0, 6))
