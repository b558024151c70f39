"""One thread for linear algebra, and numpy's and jax's switches as a user finds them."""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")
