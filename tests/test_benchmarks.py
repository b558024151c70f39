"""Every row of every benchmark still runs, on its small sizes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SHARED = {"rows.py", "transport_problems.py"}  # what the benchmarks themselves import
BENCHMARKS = sorted(path.name for path in (ROOT / "benchmarks").glob("*.py") if path.name not in SHARED)


@pytest.mark.long
@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_row_runs(name):
    paths = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    ended = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / name), "--smoke"],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": paths},
        timeout=600,
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert ended.stdout.strip()


@pytest.mark.slow
def test_an_unknown_row_is_refused():
    ended = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "transport.py"), "no_such_row"],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert ended.returncode == 2
    assert ended.stderr.startswith("row: expected some of back_and_forth_bumps, ")
