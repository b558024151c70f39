"""jko learn FILE: what it writes, what it says, its exit codes."""

import numpy as np
import pytest

from jko.cli import main

FILE = """
[snapshots]
file = "points.csv"
time = "t"
held_out = 0.3

[potential]
basis = "Quadratic"

[fit]
refinement = 2
"""


@pytest.fixture
def folder(tmp_path):
    x = np.random.default_rng(0).normal(size=(60, 1)) + 2.0
    rows = np.concatenate([np.column_stack([np.full(60, t), x * np.exp(-t)]) for t in (0.0, 0.1, 0.2)])
    np.savetxt(tmp_path / "points.csv", rows, delimiter=",", header="t,x", comments="")
    (tmp_path / "well.toml").write_text(FILE)
    return tmp_path


@pytest.mark.slow
def test_a_table_of_points_becomes_a_functional_and_a_rollout(folder, capsys):
    (folder / "well.toml").write_text(FILE.replace("held_out = 0.3\n", ""))
    assert main(["learn", str(folder / "well.toml"), "--out", str(folder / "out")]) == 0
    said = capsys.readouterr().out
    assert "F = Potential('quadratic'" in said
    assert "against the points that were fitted" in said
    assert (folder / "out" / "fit.txt").read_text().startswith("well\n")
    table = np.loadtxt(folder / "out" / "prediction.csv", delimiter=",", skiprows=1)
    assert table.shape == (3 * 60, 2)
    first, last = (table[table[:, 0] == t, 1].mean() for t in (0.0, 0.2))
    assert np.isclose(last / first, np.exp(-0.2), rtol=0.01)
    for name in ("landscape", "prediction", "score", "identifiability"):
        assert (folder / "out" / f"{name}.png").stat().st_size > 10_000


@pytest.mark.slow
def test_a_picture_that_fails_costs_no_other(folder, capsys, monkeypatch):
    def broken(*args, **options):
        raise RuntimeError("no ink")

    monkeypatch.setattr("jko.plotting.plot_score", broken)
    assert main(["learn", str(folder / "well.toml"), "--out", str(folder / "out"), "--quiet"]) == 1
    assert capsys.readouterr().err == f"the picture {folder / 'out' / 'score.png'}: no ink\n"
    assert {p.name for p in (folder / "out").iterdir()} == {
        "fit.txt",
        "prediction.csv",
        "landscape.png",
        "prediction.png",
        "identifiability.png",
    }


@pytest.mark.slow
def test_a_share_of_the_points_is_held_out(folder, capsys):
    assert main(["learn", str(folder / "well.toml"), "--out", str(folder / "out")]) == 0
    assert "against held-out points" in capsys.readouterr().out
    assert len((folder / "out" / "prediction.csv").read_text().splitlines()) == 1 + 3 * 42


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ('time = "t"', 'time = "hour"', "snapshots.time: no column 'hour'; there are 't', 'x'"),
        ('"points.csv"', '"none.csv"', "no file"),
        ('"Quadratic"', '"Cubic"', "potential.basis: unknown basis 'Cubic'"),
        ("refinement = 2", "rounds = 2", "fit.rounds: unknown key"),
        ("held_out = 0.3", "held_out = 2", "snapshots.held_out: expected a number between 0 and 1"),
    ],
)
def test_a_bad_file_is_one_sentence_and_leaves_nothing(folder, capsys, old, new, sentence):
    (folder / "well.toml").write_text(FILE.replace(old, new))
    assert main(["learn", str(folder / "well.toml"), "--out", str(folder / "out")]) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1
    assert not (folder / "out").exists()
