"""Populations whose law is known at every time."""

import numpy as np
from scipy.linalg import expm

import jko


def ornstein_uhlenbeck(A, b, theta, mean, covariance, times, n, seed, unit=1.0):
    """Independent draws from the law of dX = −(AX + b)dt + √(2θ)dB at the times, lengths in units of
    `unit`."""
    generator, A, b = np.random.default_rng(seed), np.atleast_2d(A), np.atleast_1d(b)
    rest, still = -np.linalg.solve(A, b), theta * np.linalg.inv(A)
    clouds = []
    for t in times:
        E = expm(-A * t)
        m, S = rest + E @ (mean - rest), still + E @ (covariance - still) @ E.T
        clouds.append(unit * generator.multivariate_normal(m, S, n))
    return jko.learn.Snapshots(times, clouds)


def mean_field(a, b, theta, mean, variance, times, n, seed):
    """Of the quadratic McKean–Vlasov law on the line, V = ½ax², W = ½bz²: a Gaussian of mean me^{−at} whose
    variance relaxes to θ/(a + b) at the rate 2(a + b)."""
    generator, rest = np.random.default_rng(seed), theta / (a + b)
    clouds = []
    for t in times:
        v = rest + (variance - rest) * np.exp(-2.0 * (a + b) * t)
        clouds.append(mean * np.exp(-a * t) + np.sqrt(v) * generator.standard_normal((n, 1)))
    return jko.learn.Snapshots(times, clouds)


def moved(gradient, x, times, theta=0.0, seed=0, step=1e-3):
    """The same points under dX = −∇V dt + √(2θ)dB, shuffled at every time."""
    generator, clouds, t = np.random.default_rng(seed), [np.array(x)], times[0]
    for end in times[1:]:
        count = max(1, round((end - t) / step))
        h = (end - t) / count
        for _ in range(count):
            kick = np.sqrt(2.0 * theta * h) * generator.standard_normal(x.shape)
            first = -gradient(x)
            x = x + 0.5 * h * (first - gradient(x + h * first + kick)) + kick
        t = end
        clouds.append(generator.permutation(x))
    return jko.learn.Snapshots(times, clouds)
