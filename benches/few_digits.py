"""A small data set: the first digits of MNIST's training file, as many of each class, with the first 200 test images of each class,
which are those of the embedded digits.

usage: few_digits.py MNIST COUNT OUT
MNIST: a folder with its four .gz files (cargo xtask fetch mnist --out MNIST); COUNT: a multiple of 10; OUT: the folder to make."""
import gzip, struct, sys
from pathlib import Path

CLASSES, TEST_EACH, PIXELS = 10, 200, 784


def content(source, name):
    """The bytes after the header of an IDX file."""
    data = gzip.decompress((source / f"{name}.gz").read_bytes())
    return data[4 + 4 * data[3]:]


def first_of_each(labels, each):
    """The places of the first `each` of every class, in their order."""
    counts, places = [0] * CLASSES, []
    for place, label in enumerate(labels):
        if counts[label] < each:
            counts[label] += 1
            places.append(place)
    return places


def main(source, count, out):
    out.mkdir()
    for split, each in [("train", count // CLASSES), ("t10k", TEST_EACH)]:
        images = content(source, f"{split}-images-idx3-ubyte")
        labels = content(source, f"{split}-labels-idx1-ubyte")
        places = first_of_each(labels, each)
        pixels = b"".join(images[PIXELS * place:PIXELS * (place + 1)] for place in places)
        header = struct.pack(">IIII", 2051, len(places), 28, 28)
        (out / f"{split}-images-idx3-ubyte").write_bytes(header + pixels)
        header = struct.pack(">II", 2049, len(places))
        (out / f"{split}-labels-idx1-ubyte").write_bytes(header + bytes(labels[place] for place in places))


if __name__ == "__main__":
    if len(sys.argv) != 4 or not sys.argv[2].isdigit() or int(sys.argv[2]) == 0 or int(sys.argv[2]) % CLASSES:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
