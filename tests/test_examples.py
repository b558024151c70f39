"""Every example is short, and runs as a user would run it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
PICTURES = {
    "aggregation_to_a_disk": {"aggregation.png", "aggregation.gif"},
    "animation": {"ring_density.gif", "ring_particles.gif", "ring.png"},
    "energy_decay_and_lambda": {"energy_decay.png"},
    "fokker_planck_three_ways": {"three_ways_density.png", "three_ways_energy.png"},
    "heat_flow": {"heat_density.png", "heat_order.png"},
    "porous_medium": {"porous_medium_density.png"},
    "terrain": {"terrain_density.png", "terrain_particles.png"},
}


def test_every_example_is_known_here():
    assert {path.stem for path in EXAMPLES} == set(PICTURES)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example(path, tmp_path):
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) < 60
    assert lines[0] == '"""'
    assert set(lines[2]) == {"="}
    assert len(lines[2]) >= len(lines[1])
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(
        [sys.executable, "-W", "error::RuntimeWarning", str(path)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert {picture.name for picture in (tmp_path / "results").iterdir()} == PICTURES[path.stem]
