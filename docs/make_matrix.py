"""Runs the matrix of functionals and engines and writes docs/matrix.json, which docs/functionals.md prints.

python docs/make_matrix.py [--functional NAME ...] [--engine NAME ...]: those cells anew, by default all.
"""

import argparse
from pathlib import Path

from jko.catalogue import matrix
from jko.catalogue.registry import names

FILE = Path(__file__).with_name("matrix.json")


def main():
    """Run the cells that are asked for; a file is written after each functional, so that nothing is lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--functional", action="append")
    parser.add_argument("--engine", action="append")
    asked = parser.parse_args()
    outcomes, known = matrix.read(FILE), {matrix.key(cell) for cell in matrix.cells()}
    for name in asked.functional or names():
        for cell in matrix.cells([name], asked.engine):
            found = outcomes[matrix.key(cell)] = matrix.outcome(cell)
            if found.verdict is matrix.Verdict.FAILS:
                print(f"{matrix.key(cell)}: {found.said}", flush=True)
        matrix.write(FILE, {key: outcomes[key] for key in outcomes if key in known})


if __name__ == "__main__":
    main()
