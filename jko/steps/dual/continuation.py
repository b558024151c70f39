"""A field continued a few cells into an obstacle, so that differences beside it see one side only."""

from __future__ import annotations

import numpy as np

_LAYERS = 2


class Continuation:
    """Quadratic extrapolation into blocked cells, layer by layer: the mean over the directions that offer
    three known cells; where none does, the field is left as it is."""

    def __init__(self, blocked):
        known = ~blocked
        self.layers = []
        for _ in range(_LAYERS):
            targets, sources = _directions(known)
            self.layers.append((*np.unique(targets, return_inverse=True), sources))
            known = known.copy()
            known.reshape(-1)[targets] = True

    def __call__(self, field):
        """The field with the cells beside the free ones replaced."""
        out = field.copy()
        flat = out.reshape(-1)
        for cells, owner, sources in self.layers:
            guesses = 3.0 * flat[sources[0]] - 3.0 * flat[sources[1]] + flat[sources[2]]
            flat[cells] = np.bincount(owner, guesses, len(cells)) / np.bincount(owner, minlength=len(cells))
        return out


def _directions(known):
    """Flat indices of unknown cells `[k]`, and of the three known cells next to each in a line `[3, k]`."""
    index = np.arange(known.size).reshape(known.shape)
    targets, sources = [], []
    for axis, n in enumerate(known.shape):
        for lines in (slice(None), slice(None, None, -1)):
            cells = np.moveaxis(index, axis, 0)[lines]
            sure = np.moveaxis(known, axis, 0)[lines]
            usable = ~sure[: n - 3] & sure[1 : n - 2] & sure[2 : n - 1] & sure[3:]
            targets.append(cells[: n - 3][usable])
            sources.append([cells[s : n - 3 + s][usable] for s in (1, 2, 3)])
    return np.concatenate(targets), np.concatenate(sources, axis=1)
