"""The command line: what it writes, what it says, its exit codes, and runs that survive kill -9."""

import csv
import errno
import json
import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

import functionals as fn
import jko
from jko.cli import main
from jko.experiment import available_schemes

ROOT = Path(__file__).parents[1]
EXPERIMENT = """
title = "A small one"

[grid]
lower = -5.0
upper = 5.0
cells = 48

[initial]
kind = "gaussian"
mean = 1.0
std = 0.5

[[functional]]
name = "entropy"

[[functional]]
name = "potential"
potential = "x1^2/2"
modulus = 1.0

[exact]
name = "OrnsteinUhlenbeck"
mean = 1.0
std = 0.5

[runs.PDE]
scheme = "FiniteVolume"
tau = 0.02
n_steps = 10

[runs.Langevin]
scheme = "Langevin"
tau = 0.02
n_steps = 10
particles = 200
seed = 4
"""


@pytest.fixture
def experiment(tmp_path, monkeypatch) -> Path:
    """The small experiment in a folder of its own, which is the working folder."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "small.toml"
    path.write_text(EXPERIMENT)
    return path


def written(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def same_runs(first: Path, second: Path, names) -> None:
    """Every array of the saved runs is the same to the last bit."""
    for name in names:
        one, other = (jko.Trajectory.load(folder / f"{name}.nc").to_xarray() for folder in (first, second))
        assert set(one) == set(other)
        for variable in one:
            left, right = one[variable].values, other[variable].values
            assert left.shape == right.shape, (name, variable)
            assert (
                left.astype(str).tolist() == right.astype(str).tolist()
                if left.dtype == object
                else (left.tobytes() == right.tobytes())
            ), (name, variable)


@pytest.mark.slow
def test_compare_writes_table_data_and_pictures(experiment, capsys):
    assert main(["compare", "small.toml"]) == 0
    said = capsys.readouterr().out
    assert "W2 to exact" in said
    assert "limits.FiniteVolume" in said
    folder = experiment.parent / "results" / "small"
    assert written(folder) == {
        *(
            "experiment.toml",
            "settings.json",
            "table.txt",
            "table.csv",
            "distances.csv",
            "PDE.nc",
            "Langevin.nc",
        ),
        *("energy.png", "density.png", "particles.png", "report.html"),
        *("checkpoints/PDE.checkpoint", "checkpoints/Langevin.checkpoint"),
    }
    assert (folder / "experiment.toml").read_text() == EXPERIMENT
    with open(folder / "table.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["run"] if "run" in row else row["name"] for row in rows] == ["PDE", "Langevin"]
    run = jko.Trajectory.load(folder / "PDE.nc")
    exact = jko.exact.OrnsteinUhlenbeck(mean=1.0, std=0.5)
    assert jko.wasserstein(run.final, exact.at(0.2)) < 5e-3
    assert run.displacement_modulus == 1.0
    assert run.attributes["title"] == "A small one"


@pytest.mark.slow
def test_plot_reads_folders_and_files(experiment, capsys):
    assert main(["compare", "small.toml", "--no-plots", "--quiet", "--out", "there"]) == 0
    assert capsys.readouterr().out == ""
    assert not list(Path("there").glob("*.png"))
    assert main(["plot", "there"]) == 0
    assert "W2 to exact" in capsys.readouterr().out
    assert {path.name for path in Path("there").glob("*.png")} == {
        "energy.png",
        "density.png",
        "particles.png",
    }
    assert main(["plot", "there/PDE.nc", "--out", "pictures", "--animate"]) == 0
    assert {path.name for path in Path("pictures").iterdir()} == {
        *("energy.png", "density.png", "report.html"),
        "PDE.gif",
    }


def test_run_does_one_of_them(experiment, capsys):
    assert main(["run", "small.toml", "--run", "PDE", "--out", "one"]) == 0
    assert written(Path("one")) == {
        *("PDE.nc", "PDE.png", "experiment.toml", "settings.json", "checkpoints/PDE.checkpoint")
    }
    assert main(["run", "small.toml", "--run", "PDF"]) == 2
    assert "no run 'PDF' in small.toml; there are PDE, Langevin" in capsys.readouterr().err
    assert not Path("results").exists()


@pytest.mark.slow
def test_resume_of_a_finished_one_changes_nothing(experiment):
    assert main(["compare", "small.toml", "--no-plots", "--quiet"]) == 0
    first = {path: path.read_bytes() for path in Path("results/small").rglob("*.checkpoint")}
    saved = jko.Trajectory.load("results/small/Langevin.nc")
    for path in ("results/small", "small.toml", "results/small/experiment.toml"):
        assert main(["resume", path, "--quiet"]) == 0
    assert {path: path.read_bytes() for path in first} == first
    again = jko.Trajectory.load("results/small/Langevin.nc")
    np.testing.assert_array_equal(again.energy, saved.energy)
    assert again.attributes["seconds"] > 0.5 * saved.attributes["seconds"]


@pytest.mark.slow
def test_more_steps_go_on_and_fewer_or_others_are_refused(experiment, capsys):
    assert main(["run", "small.toml", "--no-plots", "--quiet"]) == 0
    experiment.write_text(EXPERIMENT.replace("n_steps = 10", "n_steps = 15"))
    assert main(["run", "small.toml", "--no-plots", "--quiet"]) == 0
    assert len(jko.Trajectory.load("results/small/PDE.nc")) == 16
    before = {name: Path("results/small", name).read_bytes() for name in written(Path("results/small"))}
    for old, new, says in [
        (
            "n_steps = 15",
            "n_steps = 12",
            "runs.PDE.n_steps: expected 15 or more, which 'results/small' holds already",
        ),
        ("tau = 0.02", "tau = 0.01", "runs.PDE: checkpoint: "),
        ("x1^2/2", "x1^2", "runs.PDE: checkpoint: "),
        ("seed = 4", "seed = 5", "runs.Langevin: checkpoint: "),
    ]:
        text = EXPERIMENT.replace("n_steps = 10", "n_steps = 15")
        experiment.write_text(text.replace(old, new))
        assert main(["run", "small.toml", "--no-plots", "--quiet"]) == 2
        error = capsys.readouterr().err
        assert error.startswith(says)
        assert "--overwrite" in error
        assert {
            name: Path("results/small", name).read_bytes() for name in written(Path("results/small"))
        } == before
    assert main(["run", "small.toml", "--no-plots", "--quiet", "--overwrite"]) == 0
    assert "seed = 5" in Path("results/small/experiment.toml").read_text()


@pytest.mark.slow
def test_files_travel_with_the_results(experiment, tmp_path):
    points = np.random.default_rng(1).normal(size=(60, 1))
    (tmp_path / "data").mkdir()
    np.savetxt(tmp_path / "data" / "p.csv", points, fmt="%.17g")
    experiment.write_text(
        EXPERIMENT.replace('kind = "gaussian"\nmean = 1.0\nstd = 0.5', 'kind = "points"\nfile = "data/p.csv"')
        .replace("particles = 200\n", "")
    )  # fmt: skip
    assert main(["run", "small.toml", "--no-plots", "--quiet"]) == 0
    assert Path("results/small/inputs/1_p.csv").read_bytes() == (tmp_path / "data" / "p.csv").read_bytes()
    (tmp_path / "data" / "p.csv").unlink()
    Path("results/small").rename(tmp_path / "moved")
    assert main(["resume", "moved", "--quiet"]) == 0


def test_without_checkpoints(experiment):
    assert main(["run", "small.toml", "--no-checkpoint", "--no-plots", "--quiet"]) == 0
    assert not list(Path("results/small/checkpoints").iterdir())
    assert main(["resume", "results/small", "--quiet"]) == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["compare", "none.toml"], "no file 'none.toml'"),
        (["compare"], "jko compare: the following arguments are required: FILE"),
        (["compare", "small.toml", "--ot", "x"], "jko: unrecognized arguments: --ot x"),
        (["nothing"], "jko: argument COMMAND: invalid choice: 'nothing'"),
        ([], "jko: the following arguments are required: COMMAND"),
        (["compare", "small.toml", "--out", "small.toml"], "out: 'small.toml' is a file"),
        (["resume", "results/small"], "no folder or file 'results/small'"),
        (["resume", "small.toml"], "'results/small' holds no results: start with jko compare FILE"),
        (["resume", "."], "'.' holds no results"),
        (["plot", "none.nc"], "path: no file 'none.nc'"),
        (["plot", "small.toml"], "path: 'small.toml' is not a netCDF file of a run"),
        (["plot", ".", "small.toml"], "'.' is a folder: give one folder, or netCDF files"),
        (["functionals", "entropi"], "NAME: 'entropi' is not known; did you mean 'entropy'?"),
        (["schemes", "Langevins"], "NAME: 'Langevins' is not known; did you mean"),
    ],
)
def test_a_bad_argument_is_one_sentence(experiment, arguments, says, capsys):
    before = written(experiment.parent)
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(says)
    assert said.err.count("\n") == 1
    assert written(experiment.parent) == before


def test_a_bad_file_is_one_sentence_and_writes_nothing(experiment, capsys):
    experiment.write_text(EXPERIMENT.replace("tau = 0.02", "tau = -1", 1))
    assert main(["compare", "small.toml"]) == 2
    assert capsys.readouterr().err == "runs.PDE.tau: expected a positive number, got -1\n"
    assert written(experiment.parent) == {"small.toml"}
    with pytest.raises(ValueError, match="expected a positive number"):
        main(["--traceback", "compare", "small.toml"])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('scheme = "FiniteVolume"', 'scheme = "Cvxpy"\nsolver = "NOSUCH"'),
        (
            'scheme = "FiniteVolume"\ntau = 0.02',
            'scheme = "ForwardEuler"\nparticles = 9\nseed = 0\ntau = 3.0',
        ),
        ('scheme = "FiniteVolume"\ntau = 0.02', 'scheme = "Langevin"\nparticles = 9\nseed = 0\ntau = 3.0'),
    ],
)
@pytest.mark.parametrize("out", ["results/small", "results/a/b"])
def test_a_late_refusal_leaves_nothing_behind(experiment, capsys, old, new, out):
    experiment.write_text(EXPERIMENT.replace(old, new))
    assert main(["run", "small.toml", "--quiet", "--out", out]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not Path("results").exists()
    Path(out).mkdir(parents=True)
    assert main(["run", "small.toml", "--quiet", "--out", out]) == 2
    assert Path(out).exists()


def test_a_run_that_fails_leaves_the_others(experiment, capsys):
    failing = '[runs.JKO]\nscheme = "Cvxpy"\ntau = 0.02\nn_steps = 10\nsolver_options = {max_iter = 2}\n'
    experiment.write_text(EXPERIMENT.replace("[runs.PDE]", f"{failing}\n[runs.PDE]"))
    assert main(["compare", "small.toml", "--no-plots", "--quiet"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("runs.JKO: step 1 of Cvxpy ended as")
    assert error.count("\n") == 1
    assert len(jko.Trajectory.load("results/small/PDE.nc")) == 11
    assert "Langevin" in Path("results/small/table.txt").read_text()


ONCE = "tau = 0.1\nn_steps = 1\n\n"


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('scheme = "Langevin"\ntau = 0.02', 'scheme = "Langevin"\ntau = 3.0', "runs.Langevin.tau: 3 is"),
        ('scheme = "Langevin"', 'scheme = "ForwardEuler"', "runs.Langevin.scheme: descent.ForwardEuler"),
        ("[exact]", '[[functional]]\nname = "kl"\nlog_density = "log(x1)"\n\n[exact]', "runs.PDE"),
        ("[runs.Langevin]", f'[runs.B]\nscheme = "Cvxpy"\nsolver = "NO"\n{ONCE}[runs.Langevin]', "runs.B."),
        ("[runs.Langevin]", f'[runs.B]\nscheme = "BackAndForth"\niterations = []\n{ONCE}[runs.Langevin]', "runs.B"),  # noqa: E501
    ],
)  # fmt: skip
def test_what_any_run_refuses_is_refused_before_the_first_is_written(experiment, capsys, old, new, says):
    experiment.write_text(EXPERIMENT.replace(old, new))
    Path("results/small").mkdir(parents=True)
    for out in ("results/small", "elsewhere"):
        assert main(["run", "small.toml", "--out", out]) == 2
        said = capsys.readouterr()
        assert said.out == ""
        assert said.err.startswith(says)
        assert said.err.count("\n") == 1
        assert written(experiment.parent) == {"small.toml"}
    assert not Path("elsewhere").exists()


@pytest.mark.slow
def test_runs_of_different_length_are_compared_while_both_last(experiment, capsys):
    longer = EXPERIMENT.replace("n_steps = 10\nparticles", "n_steps = 25\nparticles")
    longer = longer.replace("[runs.PDE]", '[output]\nplots = ["particles"]\n[runs.PDE]')
    experiment.write_text(longer + longer[longer.index("[runs.Langevin]") :].replace("Langevin]", "Short]", 1)
                          .replace("n_steps = 25", "n_steps = 5"))  # fmt: skip
    assert main(["compare", "small.toml", "--quiet"]) == 0
    assert main(["resume", "results/small"]) == 0
    assert capsys.readouterr().err == ""
    assert Path("results/small/particles.png").exists()
    with open("results/small/distances.csv", newline="") as file:
        assert max(float(row["time"]) for row in csv.DictReader(file)) == pytest.approx(0.1)


@pytest.mark.slow
def test_a_picture_that_fails_costs_neither_data_nor_the_other_pictures(experiment, capsys, monkeypatch):
    def fail(*arguments, **options):
        raise RuntimeError("no font\nat all")

    monkeypatch.setattr("jko.plotting.plot_density", fail)
    monkeypatch.setattr("jko.films.animate", fail)
    assert main(["compare", "small.toml", "--quiet", "--animate"]) == 1
    error = capsys.readouterr().err
    folder = Path("results/small")
    assert error.splitlines() == [
        f"the picture {folder / name}: no font at all" for name in ("density.png", "PDE.gif", "Langevin.gif")
    ]
    assert {"table.csv", "PDE.nc", "Langevin.nc", "energy.png", "particles.png"} <= written(folder)
    assert main(["plot", "results/small", "--quiet"]) == 1
    report = jko.compare({"PDE": jko.Trajectory.load(folder / "PDE.nc")})
    with pytest.raises(RuntimeError, match="no font"):
        report.save("report")
    assert {"PDE.nc", "comparison.csv", "energy.png"} <= written(Path("report"))


@pytest.mark.slow
def test_a_full_disk_is_a_sentence_and_keeps_what_is_there(experiment, capsys, monkeypatch):
    assert main(["compare", "small.toml", "--quiet", "--no-plots"]) == 0
    before = {path: path.read_bytes() for path in Path("results").rglob("*") if path.is_file()}

    def full(self, content):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    assert main(["compare", "small.toml", "--quiet", "--out", "new"]) == 1
    assert main(["compare", "small.toml", "--quiet"]) == 1
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2
    for line in said:
        assert "could not be written: no space left on device" in line
    assert not Path("new").exists()
    assert {path: path.read_bytes() for path in Path("results").rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    "damage",
    [
        b"", b"{", b"[1, 2]", b"\xff\xfe", b'{"format": 1}', b"[" * 100_000,
        lambda s: s | {"runs": ["PDE", "PDX"]}, lambda s: s | {"runs": 3}, lambda s: s | {"plots": None},
        lambda s: s | {"files": {"a": "/etc/passwd"}}, lambda s: s | {"compare": "yes"},
    ],
)  # fmt: skip
def test_damaged_settings_are_one_sentence(experiment, capsys, damage):
    assert main(["run", "small.toml", "--quiet", "--no-plots", "--run", "PDE"]) == 0
    path = Path("results/small/settings.json")
    settings = json.loads(path.read_text())
    path.write_bytes(damage if isinstance(damage, bytes) else json.dumps(damage(settings)).encode())
    before = {name: Path("results/small", name).read_bytes() for name in written(Path("results/small"))}
    assert main(["resume", "results/small"]) == 2
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert "settings.json' " in said.err
    assert {
        name: Path("results/small", name).read_bytes() for name in written(Path("results/small"))
    } == before


def test_a_refusal_is_one_sentence_without_warnings_and_short(experiment, capsys):
    def warn(options):
        warnings.warn("a library\nwarns", RuntimeWarning, stacklevel=1)
        if options.quiet:
            raise ValueError("x" * 5000)

    for arguments, code, said in [
        (["plot", "a.nc", "--quiet"], 2, "x" * 597 + "...\n"),
        (["plot", "a.nc"], 0, "warning: a library warns\n"),
    ]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("jko.cli.commands.plot", warn)
            assert main(arguments) == code
        assert capsys.readouterr().err == said


@pytest.mark.slow
def test_functionals_lists_the_registry(capsys):
    assert main(["functionals"]) == 0
    said = capsys.readouterr().out
    for name in (*fn.available(), *fn.NAMED_POTENTIALS, *fn.NAMED_KERNELS):
        assert f"\n{name}(" in said
    assert "linearly convex: yes; lambda: 0\n" in said
    assert main(["functionals", "power"]) == 0
    assert "porous medium" in capsys.readouterr().out


def test_schemes_lists_every_scheme(capsys):
    assert main(["schemes"]) == 0
    said = capsys.readouterr().out
    for name in available_schemes():
        assert f"{name}: moves " in said
    assert main(["schemes", "Langevin"]) == 0
    assert "Euler–Maruyama" in capsys.readouterr().out


def test_version_and_help(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"jko {jko.__version__}\n"
    assert main(["compare", "--help"]) == 0
    assert "--no-checkpoint" in capsys.readouterr().out


LONG = EXPERIMENT.replace(
    'scheme = "FiniteVolume"\ntau = 0.02\nn_steps = 10',
    'scheme = "Cvxpy"\ntau = 0.02\nn_steps = 60\nstore_every = 7',
).replace(
    "tau = 0.02\nn_steps = 10\nparticles", "tau = 0.0001\nn_steps = 60_000\nstore_every = 2500\nparticles"
)


def start(*arguments, folder: Path) -> subprocess.Popen:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    return subprocess.Popen(
        [sys.executable, "-m", "jko", *arguments],
        cwd=folder,
        env=environment,
        stdout=-1,
        stderr=-1,
        text=True,
    )


def stop_when_it_grows(process: subprocess.Popen, checkpoint: Path, how) -> tuple[str, str]:
    """Stop the process by `how` as soon as the checkpoint has grown once since it was first seen."""
    size, deadline = None, time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        now = checkpoint.stat().st_size if checkpoint.exists() else None
        if size is not None and now > size:
            how(process)
            break
        size = now if size is None else size
        time.sleep(0.002)
    return process.communicate(timeout=120)


@pytest.mark.long
def test_killed_twice_and_resumed_to_the_same_bits(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("long.toml").write_text(LONG)
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    process = start("run", "long.toml", "--out", "killed", "--no-plots", folder=tmp_path)
    stop_when_it_grows(process, killed / "checkpoints" / "PDE.checkpoint", subprocess.Popen.kill)
    assert process.returncode != 0
    assert not (killed / "PDE.nc").exists()
    process = start("resume", "killed", folder=tmp_path)
    stop_when_it_grows(process, killed / "checkpoints" / "Langevin.checkpoint", subprocess.Popen.kill)
    assert process.returncode != 0
    assert not (killed / "Langevin.nc").exists()
    assert main(["resume", "killed", "--quiet"]) == 0
    assert main(["run", "long.toml", "--out", "whole", "--no-plots", "--quiet"]) == 0
    same_runs(killed, whole, ("PDE", "Langevin"))


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Ctrl-C of another process reaches its whole console on Windows")
def test_interrupted_says_how_to_go_on(tmp_path):
    (tmp_path / "long.toml").write_text(LONG)
    process = start("run", "long.toml", "--out", "there", folder=tmp_path)
    _, error = stop_when_it_grows(
        process,
        tmp_path / "there" / "checkpoints" / "PDE.checkpoint",
        lambda running: running.send_signal(signal.SIGINT),
    )
    assert process.returncode == 130
    assert error.strip().splitlines()[-1] == "interrupted: go on with jko resume there"
    assert "Traceback" not in error
