"""The import directions, read from the source; and what `import jko` does not load."""

import ast
import functools
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = sorted([*ROOT.glob("functionals/**/*.py"), *ROOT.glob("jko/**/*.py")])

# the rooms from the ground up; a room looks at the floors below its own, and at what is named beside it
FLOORS = [
    {
        "functionals": [],
        "errors": [],
        "inline": [],
        "packing": [],
        "fingerprint": [],
        "interrupts": [],
        "records": [],
        "bounds": [],
        "loops": ["functionals"],
        "sharding": ["errors"],
        "writing": ["errors"],
        "locks": [],
        "progress": ["errors"],
        "mobility": ["functionals", "errors"],
        "metric": ["functionals", "errors"],
    },
    {
        "measures": [],
        "full": ["measures"],
        "modulus": ["measures"],
        "scheme": ["measures", "full", "modulus"],
    },
    {
        "transport": [],
        "exact": ["transport"],
        "dataset_attributes": [],
        "netcdf": [],
        "dataset": ["dataset_attributes", "netcdf"],
        "trajectory": ["dataset", "netcdf"],
    },
    {
        "checkpoint": [],
        "shared_journal": ["checkpoint"],
        "steps": [],
        "descent": [],
        "limits": [],
        "diffusion": [],
    },
    {"run": [], "accuracy": [], "driver": ["run", "accuracy"], "comparison": ["driver"], "stationary": []},
    {
        "plotting": ["learn"],
        "films": ["plotting"],
        "page": ["plotting"],
        "report": ["plotting", "films", "page"],
        "experiment": [],
        "ensembles": [],
        "sensitivity": [],
        "learn": [],
        "catalogue": [],
    },
    {"cli": [], "__main__": ["cli"]},
]
# a method of a run that hands it to a room above, which is imported when the method is called and not before
HANDED_UP = {"jko/trajectory.py": "jko.films", "jko/diffusion/sde.py": "jko.films"}
ROOMS = {
    room: [below for floor in FLOORS[:height] for below in floor] + beside
    for height, floor in enumerate(FLOORS)
    for room, beside in floor.items()
}

HEAVY = (
    "cvxpy",
    "matplotlib",
    "numba",
    "xarray",
    "ot",
    "pandas",
    "scipy",
    "h5netcdf",
    "tqdm",
    "PIL",
    "dask",
    "distributed",
)
ALONE = {  # cvxpy: the steps by cone programmes, and dynamic transport as one
    "cvxpy": ("jko/steps/cvxpy/", "jko/transport/dynamic/conic.py"),
    "matplotlib": ("jko/plotting", "jko/films"),
    "imageio_ffmpeg": ("jko/films/writer.py",),
}


def name_of(path):
    return path.relative_to(ROOT).as_posix()


def room_of(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[0] if parts[0] == "functionals" else parts[1]


@functools.cache
def imports_of(path):
    """(module, whether at the top of the file) for every import in the file, also those inside functions."""
    found = []

    def look(node, top):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                found.extend((alias.name, top) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"{name_of(path)}: a relative import"
                found.extend((f"{child.module}.{alias.name}", top) for alias in child.names)
            elif isinstance(child, ast.stmt | ast.excepthandler | ast.match_case):
                look(child, top and not isinstance(child, ast.FunctionDef))

    look(ast.parse(path.read_text(encoding="utf-8")), True)
    return found


def allowed(path, module):
    parts = module.split(".")
    if parts[0] == "functionals":
        return room_of(path) == "functionals" or "functionals" in ROOMS[room_of(path)]
    if parts[0] != "jko":
        return True
    if len(parts) == 1 or (len(parts) == 2 and parts[1].startswith("__")):
        return room_of(path) in ("cli", "page", "report", "experiment", "__main__")
    return parts[1] == room_of(path) or parts[1] in ROOMS[room_of(path)]


@pytest.mark.parametrize("path", [p for p in FILES if name_of(p) != "jko/__init__.py"], ids=name_of)
def test_imports_point_one_way(path):
    assert room_of(path) in ROOMS, f"{name_of(path)} is in no room: give it a place in ROOMS"
    handed = HANDED_UP.get(name_of(path), "no room")
    wrong = [
        module
        for module, at_the_top in imports_of(path)
        if not allowed(path, module) and (at_the_top or not module.startswith(f"{handed}."))
    ]
    assert not wrong, f"{name_of(path)} looks where it may not: {wrong}"


def test_the_page_of_the_house_shows_these_floors():
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    for height, floor in enumerate(FLOORS):
        rooms = [
            f"`{room}`" + (f" ({', '.join(beside)})" if beside else "") for room, beside in floor.items()
        ]
        assert f"| {height} | {', '.join(rooms)} |" in page


def test_the_functionals_know_numpy_scipy_and_jax_alone():
    known = {"functionals", "numpy", "scipy", "jax", *sys.stdlib_module_names}
    for path in FILES:
        if room_of(path) == "functionals":
            assert {module.split(".")[0] for module, _ in imports_of(path)} <= known, name_of(path)


def test_the_driver_knows_no_scheme():
    for name in ("driver", "run", "checkpoint"):
        modules = [module for module, _ in imports_of(ROOT / "jko" / f"{name}.py")]
        assert not [m for m in modules if m.startswith(("jko.steps", "jko.descent", "jko.limits"))]


@pytest.mark.parametrize("library", ALONE)
def test_a_library_is_imported_in_its_place_alone(library):
    users = {name_of(p) for p in FILES if any(m.split(".")[0] == library for m, _ in imports_of(p))}
    assert users
    assert all(user.startswith(ALONE[library]) for user in users), users


def test_the_reader_of_imports_sees_them_all(tmp_path):
    path = tmp_path / "sample.py"
    path.write_text(
        "import a.b\ndef f():\n    from c import d\n    return lambda: 0\nclass K:\n    import g\n"
    )
    assert set(imports_of(path)) == {("a.b", True), ("g", True), ("c.d", False)}


def loaded_by(statement):
    code = f"import sys\n{statement}\nprint(*sorted(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return run.stdout.split()


@pytest.mark.slow
def test_import_jko_is_light():
    alone, ours = set(loaded_by("import jax, numpy")), set(loaded_by("import jko"))
    assert "jko.driver" in ours
    heavy = [name for name in ours - alone if name.split(".")[0] in HEAVY]
    assert not heavy


@pytest.mark.slow
def test_import_functionals_does_not_load_jko():
    modules = loaded_by("import functionals")
    assert "functionals.registry" in modules
    assert not [name for name in modules if name.split(".")[0] == "jko"]


def test_a_run_is_saved_without_xarray(tmp_path):
    made = "jko.flow(fn.Entropy(), jko.Gaussian(0.0, 1.0), jko.steps.Gaussian(), tau=0.1, n_steps=1)"
    modules = loaded_by(f"import jko, functionals as fn\n{made}.save({str(tmp_path / 'run.nc')!r})")
    assert "h5netcdf" in modules
    assert not [name for name in modules if name.split(".")[0] in ("xarray", "pandas", "dask")]
