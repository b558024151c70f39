"""Runs without solving, and what is read back from their pages."""

from __future__ import annotations

import base64
import json
import re

import numpy as np

import jko
from jko.page.budget import Budget
from jko.page.document import page
from jko.scheme import Records

_KINDS = {"f8": "<f8", "u2": "<u2", "u1": "u1"}


def run_of(measures, times=None, *, energy=None, n_steps=None, info=None, **fields):
    """A trajectory of these measures, with energies e^{−2t} and a record a step."""
    times = np.linspace(0.0, 1.0, len(measures)) if times is None else np.asarray(times, dtype=float)
    energy = np.exp(-2.0 * times) if energy is None else energy
    n_steps = max(len(measures) - 1, 1) if n_steps is None else n_steps
    info = Records.constant(n_steps, gap=1e-9, iterations=7) if info is None else info
    tau = float(times[-1] - times[0]) / n_steps or 1.0
    return jko.Trajectory(times, energy, measures, info, tau, "Entropy()", "Scheme(setting=1)", **fields)


def spreading(grid, times):
    """Gaussians whose mean moves and whose width grows with time, on a grid or as they are."""
    gaussians = [jko.Gaussian.of(0.5 * t, 0.4 + 0.3 * t, dimension=grid.dimension) for t in times]
    return [gaussian.on(grid) for gaussian in gaussians]


def data_of(text):
    """The page's data."""
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)[1])


def page_of(runs, exact=None, budget=None, **words):
    """The page of some runs as text."""
    words = {"title": "", "experiment": "", **words}
    return page(jko.compare(runs, exact), budget=budget or Budget(), **words)


def read(packed):
    """An array as the page's script reads it."""
    return np.frombuffer(base64.b64decode(packed["data"]), _KINDS[packed["type"]])


def frames(track, kind="u2"):
    """The values `[frames, n]` of a curve or map."""
    low, high, raw = read(track["low"]), read(track["high"]), read(track["values"]).astype(float)
    return low[:, None] + (high - low)[:, None] * raw.reshape(len(low), -1) / np.iinfo(kind).max
