"""Every example is short, and runs from beginning to end in a folder of its own."""

import re
import runpy
import sys
import warnings
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# those that take more than five seconds: `python -m pytest -m long`
LONG = (
    "a_crowd_that_leaves",
    "aggregation_to_a_disk",
    "animation",
    "barycentre_as_a_flow",
    "bias_at_equilibrium",
    "cahn_hilliard",
    "chemotaxis",
    "colour_transfer",
    "crowd_motion",
    "ddpm_bound",
    "doubly_nonlinear",
    "dynamic_transport",
    "ensemble_of_temperatures",
    "exclusion",
    "film",
    "fisher_kpp_front",
    "fokker_planck_three_ways",
    "guidance_without_training",
    "inference_by_gradient",
    "jumps",
    "kuramoto",
    "landscape_from_snapshots",
    "moreau_envelopes",
    "noising_is_a_gradient_flow",
    "porous_medium",
    "power_cells",
    "predator_and_prey",
    "preferences",
    "rectified_flow",
    "reward_tilting",
    "samplers_and_guidance",
    "segregation",
    "shape_of_a_trap",
    "solvers_of_diffusion",
    "steered_crowd",
    "terrain",
    "three_views_of_an_sde",
    "three_ways_to_a_target",
    "tumour",
    "two_layer_network",
    "two_spirals",
)
EXAMPLES = [
    pytest.param(path, marks=[pytest.mark.long] if path.stem in LONG else [], id=path.stem)
    for path in sorted((ROOT / "examples").glob("*.py"))
]


@pytest.mark.slow
@pytest.mark.parametrize("path", EXAMPLES)
def test_example(path, tmp_path, monkeypatch):
    source = path.read_text(encoding="utf-8")
    lines, pictures = source.splitlines(), set(re.findall(r"\{folder\}/([\w.]+)", source))
    assert pictures
    assert len(lines) < 60
    assert lines[0] == '"""'
    assert set(lines[2]) == {"="}
    assert len(lines[2]) >= len(lines[1])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(path)])
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        runpy.run_path(str(path), run_name="__main__")
    assert {picture.name for picture in (tmp_path / "results").iterdir()} == pictures
