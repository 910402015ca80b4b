"""How many hosts pay for a training step, by the model of docs/design/ranks.md.

    python3 benches/ranks_model.py HANDLING NAME=MEGABYTES,SECONDS_OF_A_CHUNK,SECONDS_OF_THE_REST ...

A host takes a chunk of eight images in SECONDS_OF_A_CHUNK, with all of its cores, and what every host does itself in each step
in SECONDS_OF_THE_REST. MEGABYTES are the network's gradients. HANDLING is
how many bytes a second a host makes messages of and takes from them.
"""

import math
import sys

# Bytes a second.
LINKS = {"1 Gbit/s": 125e6, "10 Gbit/s": 1250e6}
LATENCY = 0.3e-3
# Seconds that a message takes besides its bytes.
MESSAGE = 0.05e-3
# Groups of parameters, each with a sum of its own: the blocks on the way up of these networks, and all others.
GROUPS = 4
HOSTS = [1, 2, 4, 8, 16, 32, 64]


def wire(hosts, size, rate, handling):
    """Slices to their ranks, and their sums to all: each rank sends and receives all values but its own part, twice, and does
    both at once. Of the first pass, the last group's messages alone are left when the way back ends."""
    if hosts == 1:
        return 0.0
    return 2 * (hosts - 1) / hosts * size * (1 / rate + 1 / handling) + (GROUPS + 1) * (hosts - 1) * MESSAGE + LATENCY


def step(hosts, chunks, chunk, rest, size, rate, handling):
    return math.ceil(chunks / hosts) * chunk + rest + wire(hosts, size, rate, handling)


def main():
    handling = float(sys.argv[1])
    for argument in sys.argv[2:]:
        name, numbers = argument.split("=")
        megabytes, chunk, rest = (float(number) for number in numbers.split(","))
        size = 1e6 * megabytes
        for link, rate in LINKS.items():
            print(f"\n{name}, {link}: times as fast as one host")
            print("| batch | " + " | ".join(f"{hosts}" for hosts in HOSTS) + " |")
            print("|---|" + "---|" * len(HOSTS))
            for batch in [64, 256, 1024, 4096]:
                chunks = batch // 8
                alone = step(1, chunks, chunk, rest, size, rate, handling)
                gains = [
                    alone / step(hosts, chunks, chunk, rest, size, rate, handling) if hosts <= chunks else None
                    for hosts in HOSTS
                ]
                print(f"| {batch} | " + " | ".join("–" if gain is None else f"{gain:.2f}" for gain in gains) + " |")
            # Twice as many hosts save half of a host's chunks, and cost what the longer way costs more.
            more = lambda hosts: wire(2 * hosts, size, rate, handling) - wire(hosts, size, rate, handling)
            # A host without a chunk has nothing to do.
            pays = [8 * max(2 * hosts, math.ceil(2 * hosts * more(hosts) / chunk)) for hosts in HOSTS[:-1]]
            print("twice as many hosts pay from a batch of: " + ", ".join(f"{h} → {2 * h}: {b}" for h, b in zip(HOSTS, pays)))


if __name__ == "__main__":
    main()
