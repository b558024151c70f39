"""`import jko` against `import jax`: the ratio of the medians of fresh interpreters in turn; goal 1.3."""

import argparse
import statistics
import subprocess
import sys

CODE = "import time; start = time.perf_counter(); import {}; print(time.perf_counter() - start)"


def seconds(module: str) -> float:
    run = subprocess.run(
        [sys.executable, "-c", CODE.format(module)], capture_output=True, text=True, check=True
    )
    return float(run.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=9, help="interpreters for each")
    parser.add_argument("--smoke", action="store_true", help="one interpreter for each")
    arguments = parser.parse_args()
    runs = 1 if arguments.smoke else arguments.runs
    pairs = [(seconds("jax"), seconds("jko")) for _ in range(runs + 1 - arguments.smoke)][
        -runs:
    ]  # the first one warms the disk
    jax, jko = (statistics.median(times) for times in zip(*pairs, strict=True))
    print(
        f"import jax {jax:.3f} s, import jko {jko:.3f} s, ratio {jko / jax:.2f} (goal 1.3; medians of {runs})"
    )


if __name__ == "__main__":
    main()
