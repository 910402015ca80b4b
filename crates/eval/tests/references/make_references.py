"""Makes references.json: what numpy, scipy, scikit-learn and prdc say of sets of features.

The sets are drawn by a formula in integers that tests/eval/references.rs has too, so the file holds
results alone. To make it again, with numpy 2.4, scipy 1.17, scikit-learn 1.9 and prdc 0.2:

    python make_references.py
"""

import json
import pathlib

import numpy as np
import scipy.linalg
import scipy.spatial
import scipy.stats
from prdc import compute_prdc
from sklearn.linear_model import LogisticRegression
from sklearn.metrics.pairwise import polynomial_kernel
from sklearn.neighbors import NearestNeighbors


def mixed(x):
    """A hash of 32-bit integers, in 64-bit arithmetic."""
    x = ((x ^ (x >> 16)) * 0x21F0AAAD) & 0xFFFFFFFF
    x = ((x ^ (x >> 15)) * 0x735A2D97) & 0xFFFFFFFF
    return x ^ (x >> 15)


def drawn(seed, rows, dims, scale, shift):
    """Sums of four draws from 0..4095, each feature with some of the one before it."""
    indices = np.arange(rows * dims, dtype=np.uint64).reshape(rows, dims)
    sums = sum((mixed(indices * 8 + part + seed * 100_000_007 & 0xFFFFFFFF) >> 20) for part in range(4))
    sums = sums.astype(np.int64) - 8190
    correlated = sums.copy()
    correlated[:, 1:] += sums[:, :-1] // 2
    return (correlated * scale + shift).astype(np.float64) / 4096


def covariance(x):
    return np.atleast_2d(np.cov(x, rowvar=False))


def frechet(a, b):
    """With (S1 S2)^(1/2) from singular values: S = X'X/(n-1), so its trace is |X1 X2'|_* / ..."""
    a_centred, b_centred = a - a.mean(0), b - b.mean(0)
    nuclear = scipy.linalg.svdvals(a_centred @ b_centred.T).sum()
    root = nuclear / np.sqrt((len(a) - 1) * (len(b) - 1))
    traces = np.trace(covariance(a)) + np.trace(covariance(b))
    return ((a.mean(0) - b.mean(0)) ** 2).sum() + traces - 2 * root


def frechet_by_sqrtm(a, b):
    """As every implementation of the FID has it; poor where a covariance has no full rank."""
    root = scipy.linalg.sqrtm(covariance(a) @ covariance(b))
    traces = np.trace(covariance(a)) + np.trace(covariance(b))
    return ((a.mean(0) - b.mean(0)) ** 2).sum() + traces - 2 * np.trace(root).real


def kernel_distance(a, b):
    def off_diagonal(x):
        kernel = polynomial_kernel(x, x, degree=3, gamma=None, coef0=1)
        return (kernel.sum() - np.trace(kernel)) / (len(x) * (len(x) - 1))

    return off_diagonal(a) + off_diagonal(b) - 2 * polynomial_kernel(a, b, degree=3, coef0=1).mean()


def clipped(real, samples, k=5):
    """Clipped density and coverage of Salvy et al. 2025, by their formulas but for the end: theirs stop at 1."""
    between = scipy.spatial.distance.cdist(real, samples)
    among = scipy.spatial.distance.cdist(real, real)
    np.fill_diagonal(among, np.inf)
    radii = np.sort(among, axis=1)[:, k - 1]
    small = np.minimum(radii, np.median(radii))[:, None]
    drawn = np.minimum((between <= small).sum(0) / k, 1).mean()
    ideal = np.minimum((among <= small).sum(0) / k, 1).mean()
    covered = (np.minimum((between < radii[:, None]).sum(1), k) / k).mean()
    n, m = between.shape
    inside = np.arange(2 * (m + 1))
    expected = [
        (np.minimum(inside[: good + 1], k) / k * scipy.stats.betabinom(good, k, n - k).pmf(inside[: good + 1])).sum()
        for good in range(2 * (m + 1))
    ]
    return drawn / ideal, np.searchsorted(expected, covered - 1e-9) / (m + 1)


def logistic(real, samples):
    """The first weights, and the intercept, of the regression with a ridge of 0.01."""
    rows = np.concatenate([real, samples])
    labels = np.repeat([0, 1], [len(real), len(samples)])
    fitted = LogisticRegression(C=100 / len(rows), tol=1e-12, max_iter=10_000).fit(rows, labels)
    return [*fitted.coef_[0, :8].tolist(), float(fitted.intercept_[0])]


def main():
    sizes = [
        # seed, real rows, sample rows, features, scale, shift
        (1, 60, 80, 5, 1, 0),
        (2, 300, 200, 64, 1, 0),
        (3, 300, 200, 64, 2, 1500),
        (4, 40, 30, 64, 1, 700),
        (5, 400, 400, 2, 1, 4000),
        (6, 150, 170, 300, 1, -900),
        (7, 120, 90, 1, 3, 0),
    ]
    cases = []
    for seed, n, m, dims, scale, shift in sizes:
        real, samples = drawn(2 * seed, n, dims, 1, 0), drawn(2 * seed + 1, m, dims, scale, shift)
        three = compute_prdc(real, samples, nearest_k=3)
        five = compute_prdc(real, samples, nearest_k=5)
        distances, rows = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(real).kneighbors(samples)
        cases.append(
            {
                "seed": seed, "real": n, "samples": m, "dims": dims, "scale": scale, "shift": shift,
                "first": real[0, : min(4, dims)].tolist(),
                "last": samples[-1, -min(4, dims) :].tolist(),
                "frechet": float(frechet(real, samples)),
                "frechet_by_sqrtm": float(frechet_by_sqrtm(real, samples)),
                "kernel_distance": float(kernel_distance(real, samples)),
                "precision": float(three["precision"]), "recall": float(three["recall"]),
                "density": float(five["density"]), "coverage": float(five["coverage"]),
                "clipped": [float(value) for value in clipped(real, samples)],
                "logistic": logistic(real, samples),
                "nearest_rows": rows[:20, 0].tolist(), "nearest_distances": distances[:20, 0].tolist(),
            }
        )
    with open(pathlib.Path(__file__).with_name("references.json"), "w") as file:
        json.dump(cases, file, indent=1)
        file.write("\n")


if __name__ == "__main__":
    main()
