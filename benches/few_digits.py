"""A small data set: the first digits of MNIST's training file, as many of each class, with the first 200 test images of each class,
which are those of the embedded digits.

usage: few_digits.py MNIST COUNT OUT [CLASS=COUNT]
MNIST: a folder with its four .gz files (cargo xtask fetch mnist --out MNIST); COUNT: a multiple of 10; OUT: the folder to make;
CLASS=COUNT: so many training images of one class, such as 8=100; with 8=0 there is no such class, in either file."""
import gzip, struct, sys
from pathlib import Path

CLASSES, TEST_EACH, PIXELS = 10, 200, 784


def content(source, name):
    """The bytes after the header of an IDX file."""
    data = gzip.decompress((source / f"{name}.gz").read_bytes())
    return data[4 + 4 * data[3]:]


def first_of_each(labels, wanted):
    """The places of the first images of every class, as many as are wanted of it, in their order."""
    counts, places = [0] * CLASSES, []
    for place, label in enumerate(labels):
        if counts[label] < wanted[label]:
            counts[label] += 1
            places.append(place)
    return places


def main(source, count, out, of_class):
    out.mkdir()
    train = [count // CLASSES] * CLASSES
    for label, number in of_class.items():
        train[label] = number
    names = [label for label in range(CLASSES) if train[label]]
    if len(names) < CLASSES:
        (out / "classes.txt").write_text("".join(f"{name}\n" for name in names))
    for split, wanted in [("train", train), ("t10k", [TEST_EACH if number else 0 for number in train])]:
        images = content(source, f"{split}-images-idx3-ubyte")
        labels = content(source, f"{split}-labels-idx1-ubyte")
        places = first_of_each(labels, wanted)
        pixels = b"".join(images[PIXELS * place:PIXELS * (place + 1)] for place in places)
        header = struct.pack(">IIII", 2051, len(places), 28, 28)
        (out / f"{split}-images-idx3-ubyte").write_bytes(header + pixels)
        header = struct.pack(">II", 2049, len(places))
        (out / f"{split}-labels-idx1-ubyte").write_bytes(header + bytes(names.index(labels[place]) for place in places))


if __name__ == "__main__":
    count, extra = sys.argv[2:3], [pair.partition("=")[::2] for pair in sys.argv[4:]]
    numbers = all(a.isdigit() and int(a) < CLASSES and b.isdigit() for a, b in extra)
    if len(sys.argv) < 4 or not count[0].isdigit() or int(count[0]) == 0 or int(count[0]) % CLASSES or not numbers:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), int(count[0]), Path(sys.argv[3]), {int(a): int(b) for a, b in extra})
