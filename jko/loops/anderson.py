"""Anderson's mixing of the iterates of a fixed point x = Φ(x) [WalkerNi2011]."""

from __future__ import annotations

import numpy as np

_RIDGE = 1e-12  # of the trace of the residuals' products, added to them: rounding of nearly equal residuals
_MOST = 1e4  # sum of the shares: residuals that hardly differ ask for more, and extrapolate rounding


class Anderson:
    """Remembers the last `depth` iterates and mixes Φ of them so that the weighted residual is least.

    `weights` `[n]` are those of the squares; entries of weight 0 do not count but are mixed with the rest.
    A residual that has grown by `patience` since the best makes it forget and go on from Φ alone.
    """

    def __init__(self, weights: np.ndarray, depth: int, patience: float = 3.0):
        self.weights = np.sqrt(weights).ravel()
        self.depth, self.patience = depth, patience
        self.images, self.residuals = [], []
        self.least = np.inf

    def __call__(self, x: np.ndarray, image: np.ndarray):
        """The next iterate, from x and Φ(x)."""
        residual = (image - x).ravel() * self.weights
        size = float(np.linalg.norm(residual))
        if not size < self.patience * self.least:
            self.images.clear()
            self.residuals.clear()
            self.least = np.inf
        self.least = min(self.least, size)
        self.images.append(image.ravel())
        self.residuals.append(residual)
        if len(self.images) > self.depth + 1:
            del self.images[0], self.residuals[0]
        if len(self.images) == 1:
            return image
        steps = np.stack(self.residuals[:-1]) - residual
        gram = steps @ steps.T
        gram[np.diag_indices_from(gram)] += _RIDGE * np.trace(gram)
        shares = np.linalg.lstsq(gram, -steps @ residual, rcond=None)[0]
        if not np.abs(shares).sum() <= _MOST:
            return image
        mixed = (1.0 - shares.sum()) * self.images[-1]
        for share, earlier in zip(shares, self.images, strict=False):
            mixed += share * earlier
        return mixed.reshape(image.shape)
