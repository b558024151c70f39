"""What is released: one version everywhere, a wheel that holds all it needs, types that reach its users."""

import os
import re
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

import jko

ROOT = Path(__file__).parent.parent
USER = """\
import jko
grid = jko.Grid.uniform(lower=-1.0, upper=1.0, cells=10)
reveal_type(jko.Density.gaussian(grid, mean=0.0, std=0.5))
"""


def test_the_version_stands_in_one_place():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["dynamic"] == ["version"]
    assert project["tool"]["hatch"]["version"]["path"] == "jko/__init__.py"
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.search(r"^version: (.+)$", citation, re.MULTILINE)[1] == jko.__version__
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(r"^## (\S+)", changes, re.MULTILINE)[1] == jko.__version__


def run(*arguments, folder: Path, **environment) -> subprocess.CompletedProcess:
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        arguments,
        cwd=folder,
        env=clean | environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=300,
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel of this source, built by pip."""
    pytest.importorskip("hatchling", reason="hatchling is not installed: pip install 'jko[test]'")
    folder = tmp_path_factory.mktemp("wheel")
    build = ["-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(folder), str(ROOT)]
    built = run(sys.executable, *build, folder=folder)
    assert built.returncode == 0, built.stderr
    (file,) = folder.glob("*.whl")
    return file


@pytest.fixture(scope="module")
def fresh(wheel, tmp_path_factory) -> Path:
    """An environment into which the wheel was installed, with the libraries of this one behind it."""
    folder = tmp_path_factory.mktemp("fresh") / "environment"
    venv.create(folder, with_pip=False)
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    installed = run(
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(python),
        "install",
        "-q",
        "--no-deps",
        str(wheel),
        folder=folder,
    )
    assert installed.returncode == 0, installed.stderr
    where = run(
        str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", folder=folder
    ).stdout.strip()
    Path(where, "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return python


@pytest.mark.long
def test_the_wheel_holds_every_module_and_the_marks_of_types(wheel):
    assert wheel.name == f"jko-{jko.__version__}-py3-none-any.whl"
    held = set(zipfile.ZipFile(wheel).namelist())
    here = {
        path.relative_to(ROOT).as_posix()
        for room in ("jko", "functionals")
        for path in (ROOT / room).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix not in (".pyc", ".nbi", ".nbc")
    }
    assert {"jko/py.typed", "functionals/py.typed"} <= here
    assert here == {name for name in held if not name.startswith("jko-")}
    assert any(name.endswith("licenses/LICENSE") for name in held)


@pytest.mark.long
def test_what_was_installed_runs_and_says_its_version(fresh, tmp_path):
    where = run(str(fresh), "-c", "import jko; print(jko.__file__)", folder=tmp_path).stdout
    assert Path(where.strip()).is_relative_to(fresh.parent.parent)
    command = fresh.with_name("jko.exe" if os.name == "nt" else "jko")
    assert run(str(command), "--version", folder=tmp_path).stdout == f"jko {jko.__version__}\n"


@pytest.mark.long
def test_a_user_gets_the_types(fresh, tmp_path):
    (tmp_path / "user.py").write_text(USER, encoding="utf-8")
    check = [
        sys.executable,
        "-m",
        "mypy",
        "--python-executable",
        str(fresh),
        "--cache-dir",
        str(tmp_path / "cache"),
    ]
    right = run(*check, "user.py", folder=tmp_path)
    assert 'Revealed type is "jko.measures.density.Density"' in right.stdout, right.stdout + right.stderr
    assert right.returncode == 0, right.stdout
    (tmp_path / "wrong.py").write_text(USER.replace("cells=10", "cells='ten'"), encoding="utf-8")
    wrong = run(*check, "wrong.py", folder=tmp_path)
    assert 'Argument "cells" to "uniform"' in wrong.stdout
