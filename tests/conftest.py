"""One thread for linear algebra, and programs that are compiled quickly, and once for all processes.

Idle threads wait asleep: where two workers share two cores, threads that spin cost several times the work.

Most of a run is compilation of programs that are used once, so XLA is asked to optimise little, and to fuse
loops the old way, which compiles in half the time: the numbers differ by rounding.
`JAX_DISABLE_MOST_OPTIMIZATIONS=0` tests what a user's run compiles.

The compiled programs lie in a folder of this run alone, which the workers and the processes that tests
start find by the environment; nothing is left from one run to the next.
"""

import gc
import os
import shutil
import subprocess
import sys
import tempfile

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")

QUICK_COMPILATION = "--xla_cpu_use_fusion_emitters=false"


def pytest_configure(config):
    if os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] == "1" and "XLA_FLAGS" not in os.environ:
        # a process ends at a flag that its XLA does not know
        flags = {**os.environ, "XLA_FLAGS": QUICK_COMPILATION}
        known = subprocess.run(
            [sys.executable, "-c", "import jax; jax.devices()"], env=flags, capture_output=True
        )
        os.environ["XLA_FLAGS"] = QUICK_COMPILATION if known.returncode == 0 else ""
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        folder = tempfile.mkdtemp(prefix="jko_compiled_")
        config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
        os.environ["JAX_COMPILATION_CACHE_DIR"] = folder
        os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
        os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"


def pytest_collection_finish():
    """What was imported stays: the collector, which takes a twentieth of a run, need not look at it."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
