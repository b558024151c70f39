"""An array of either library."""

from __future__ import annotations

from typing import TypeAlias

import jax
import numpy as np

Array: TypeAlias = np.ndarray | jax.Array
