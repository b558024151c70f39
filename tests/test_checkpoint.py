"""Runs that survive: kill -9, interrupts, cut-off and damaged files, other problems, second writers."""

import errno
import hashlib
import itertools
import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

import functionals as fn
import jko
from jko import packing
from jko.checkpoint import _EARLIER, _HEAD, _MAGIC, Journal, describe_problem
from jko.errors import CheckpointMismatch, NotWritten, StepFailed
from jko.fingerprint import fingerprint
from tests import own_schemes, problems

F = fn.Potential("quadratic")
ROOT = Path(__file__).parent.parent


def walk(path=None, n_steps=9, scheme=None, functional=F, mu=None, tau=0.1, **options):
    mu = problems.particles(2) if mu is None else mu
    return jko.flow(
        functional, mu, scheme or own_schemes.Noise(), tau=tau, n_steps=n_steps, checkpoint=path, **options
    )


def same(a, b):
    assert np.array_equal(a.times, b.times)
    assert np.array_equal(a.energy, b.energy)
    assert np.array_equal(a.energy_uncertainty, b.energy_uncertainty)
    for mu, nu in zip(a.measures, b.measures, strict=True):
        for mine, theirs in zip(mu.packed().values(), nu.packed().values()):
            assert mine.dtype == theirs.dtype
            assert mine.tobytes() == theirs.tobytes()
    for name in a.info:
        assert np.array_equal(a.info[name], b.info[name], equal_nan=a.info[name].dtype.kind == "f"), name


@pytest.fixture(autouse=True)
def every_step_is_saved(monkeypatch):
    monkeypatch.setattr("jko.driver._CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr("jko.driver.monotonic", lambda: 0.0)


@pytest.mark.parametrize("scheme", [own_schemes.Noise(), own_schemes.NoiseInBlocks()])
@pytest.mark.parametrize("store_every", [1, 4, 50])
def test_going_on_gives_what_an_uninterrupted_run_gives(tmp_path, scheme, store_every):
    whole = walk(n_steps=9, scheme=scheme, store_every=store_every)
    for n_steps in (0, 2, 4, 9, 9):
        stopped = walk(tmp_path / "run", n_steps=n_steps, scheme=scheme, store_every=store_every)
        same(stopped, walk(n_steps=n_steps, scheme=scheme, store_every=store_every))
    same(stopped, whole)
    with pytest.raises(CheckpointMismatch, match="holds 9 steps already, n_steps is 8"):
        walk(tmp_path / "run", n_steps=8, scheme=scheme, store_every=store_every)
    same(walk(tmp_path / "run", scheme=scheme, store_every=store_every), whole)


@pytest.mark.parametrize(
    ("scheme", "mu"),
    [
        (own_schemes.Smoothing(), problems.density(1)),
        (own_schemes.HeatOnLine(), problems.gaussian(2)),
        (own_schemes.Noise(), problems.particles(2, weighted=True, dtype=np.float32)),
    ],
)
def test_every_kind_of_measure_goes_on(tmp_path, scheme, mu):
    for n_steps in (3, 8):
        run = walk(tmp_path / "run", n_steps=n_steps, scheme=scheme, mu=mu)
    same(run, walk(n_steps=8, scheme=scheme, mu=mu))


def test_control_c_saves_what_is_complete(tmp_path):
    own_schemes.INTERRUPTS["armed"] = True
    scheme = own_schemes.Interrupted(at=5)
    with pytest.raises(KeyboardInterrupt):
        walk(tmp_path / "run", scheme=scheme, store_every=2)
    size = (tmp_path / "run").stat().st_size
    run = walk(tmp_path / "run", scheme=scheme, store_every=2)
    assert (tmp_path / "run").stat().st_size > size
    same(run, walk(scheme=scheme, store_every=2))


@pytest.mark.slow
def test_control_c_at_any_line_of_the_loop(tmp_path):
    """An interrupt is raised at the k-th line run in the driver, the run or the journal, for every k."""
    whole = walk(n_steps=3, store_every=2)
    files = tuple(f"jko{os.sep}{name}.py" for name in ("driver", "run", "checkpoint"))
    interrupted = 0
    for k in range(0, 2000, 5):
        path = tmp_path / f"run{k}"
        if not interrupt_at(k, files, lambda path=path: walk(path, n_steps=3, store_every=2)):
            break
        interrupted += 1
        same(walk(path, n_steps=3, store_every=2), whole)
    assert interrupted > 40


def interrupt_at(k, files, function):
    """Run function with KeyboardInterrupt raised at the k-th line of the files; whether that came to pass."""
    count = 0

    def trace(frame, event, argument):
        nonlocal count
        if not frame.f_code.co_filename.endswith(files):
            return None
        if event == "line":
            count += 1
            if count == k + 1:
                raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        function()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
    return False


CHILD = """
import sys
import functionals as fn, jko
from tests import own_schemes, problems
import jko.driver
jko.driver._CHECKPOINT_SECONDS = 0.0
scheme = own_schemes.Noise(pause=0.002)
mu = problems.particles(2)
F = fn.Potential("quadratic")
F(mu)
print("ready", flush=True)
jko.flow(F, mu, scheme, tau=0.1, n_steps=400, store_every=3, checkpoint=sys.argv[1])
print("done", flush=True)
"""


@pytest.mark.slow
def test_killed_at_random_moments(tmp_path):
    path, generator = tmp_path / "run", random.Random(11)
    kills = 0
    for _ in range(2):
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(path)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert child.stdout.readline() == b"ready\n"
        time.sleep(generator.uniform(0.05, 0.4))
        child.kill()
        kills += child.wait() != 0  # one that came to its end returns 0
        child.stdout.close()
    assert kills == 2
    scheme = own_schemes.Noise(pause=0.002)
    assert path.stat().st_size > 1000
    same(
        walk(path, n_steps=400, store_every=3, scheme=scheme),
        walk(n_steps=400, store_every=3, scheme=scheme),
    )


@pytest.mark.slow
def test_a_file_cut_anywhere_recovers_or_refuses(tmp_path):
    """Every byte of the head and of the last chunk, and a sample of the rest."""
    path, whole = tmp_path / "run", walk(n_steps=4)
    walk(path, n_steps=4)
    content = path.read_bytes()
    header = header_length(content)
    lengths = {0, 1, header - 1, header, header + 1, header + 39, header + 40, len(content) - 1}
    lengths |= set(range(0, len(content), 397)) | set(range(len(content) - 40, len(content)))
    for length in sorted(lengths):
        path.write_bytes(content[:length])
        if length < header:
            with pytest.raises(CheckpointMismatch, match=r"not a checkpoint of jko|has lost its header"):
                walk(path, n_steps=4)
            assert path.read_bytes() == content[:length]
        else:
            same(walk(path, n_steps=4), whole)
            assert path.read_bytes().startswith(content[: last_whole_chunk(content, length)])


@pytest.mark.parametrize("damage", [b"\0" * 4096, b"\0" * 12, b"\xff" * 12, b"\xff" * 300, bytes(range(256))])
def test_a_tail_of_garbage_is_dropped(tmp_path, damage):
    path = tmp_path / "run"
    walk(path, n_steps=4)
    content = path.read_bytes()
    path.write_bytes(content + damage)
    same(walk(path, n_steps=6), walk(n_steps=6))
    assert path.read_bytes().startswith(content)


def test_a_flipped_bit_costs_the_steps_from_there_and_no_more(tmp_path):
    path, generator = tmp_path / "run", random.Random(4)
    walk(path, n_steps=4)
    content = path.read_bytes()
    header = header_length(content)
    for position in [
        header,
        header + 8,
        header + 12,
        *(generator.randrange(header, len(content)) for _ in range(12)),
    ]:
        broken = bytearray(content)
        broken[position] ^= 1 << generator.randrange(8)
        path.write_bytes(bytes(broken))
        same(walk(path, n_steps=4), walk(n_steps=4))
        assert path.read_bytes().startswith(content[: last_whole_chunk(content, position)])


def chunk_ends(content):
    end = len(_MAGIC)
    while end < len(content):
        end += _HEAD.size + _HEAD.unpack_from(content, end)[0]
        yield end


def header_length(content):
    return next(chunk_ends(content))


def last_whole_chunk(content, length):
    return max(end for end in chunk_ends(content) if end <= length)


def other_potential(x):
    return jnp.sum(x**2)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"tau": 0.2}, "its tau is 0.1, here it is 0.2"),
        ({"scheme": own_schemes.Noise(seed=1)}, "its scheme is Noise(seed=0"),
        ({"functional": fn.Potential("quadratic", stiffness=1.1)}, "its functional is"),
        ({"functional": 2.0 * F}, "its functional is"),
        ({"store_every": 2}, "its store_every is 1, here it is 2"),
        ({"mu": problems.particles(2, seed=5)}, "its initial measure has other values"),
        ({"mu": problems.particles(2, weighted=True)}, "its weights have other values"),
        ({"mu": problems.particles(2, n=22)}, "its measure is 23 particles"),
    ],
)
def test_a_different_problem_is_refused_and_the_file_left_alone(tmp_path, change, what):
    path = tmp_path / "run"
    whole = walk(path)
    content = path.read_bytes()
    with pytest.raises(CheckpointMismatch) as caught:
        walk(path, **change)
    assert what in str(caught.value)
    assert "give another path, or remove it" in str(caught.value)
    assert path.read_bytes() == content
    same(walk(path), whole)


def test_a_function_that_changed_under_its_name_is_refused(tmp_path):
    path = tmp_path / "run"

    def make(factor):
        def V(x):
            return factor * jnp.sum(x**2)

        return fn.Potential(V)

    walk(path, functional=make(1.0), n_steps=2)
    walk(path, functional=make(1.0), n_steps=3)
    with pytest.raises(CheckpointMismatch, match="its functional has other values"):
        walk(path, functional=make(1.0 + 1e-6), n_steps=3)


WALL = 60.0


def by_a_constant(height=1.0):
    return lambda x: jnp.sum(x**2) + height * jnp.maximum(jnp.sum(x) - 50.0, 0.0)


def by_a_global(x):
    return jnp.sum(x**2) + jnp.maximum(jnp.sum(x) - WALL, 0.0)


def table(value):
    return fn.Potential.gridded(np.r_[np.linspace(0.0, 1.0, 399), value], -50.0, 350.0)


class Own(fn.Functional):
    def __init__(self, limit):
        self.limit = limit

    def energy(self, mu):
        return mu.integrate(lambda x: jnp.maximum(jnp.sum(x**2) - self.limit, 0.0))


@pytest.mark.parametrize(
    ("make", "other"),
    [
        (lambda: fn.Potential(by_a_constant()), lambda: fn.Potential(by_a_constant(2.0))),
        (lambda: fn.Potential(by_a_global), None),
        (lambda: table(5.0), lambda: table(6.0)),
        (lambda: Own(1e4), lambda: Own(2e4)),
        (
            lambda: fn.Interaction(lambda z: jnp.maximum(jnp.sum(z**2) - 1e4, 0.0)),
            lambda: fn.Interaction(lambda z: jnp.maximum(jnp.sum(z**2) - 2e4, 0.0)),
        ),
    ],
)  # fmt: skip
def test_another_functional_that_agrees_on_the_initial_cloud_is_refused(tmp_path, monkeypatch, make, other):
    path, mu = tmp_path / "run", problems.particles(1)
    scheme = own_schemes.Noise()
    walk(path, functional=make(), mu=mu, n_steps=2, scheme=scheme)
    walk(path, functional=make(), mu=mu, n_steps=3, scheme=scheme)
    if other is None:
        monkeypatch.setitem(globals(), "WALL", 70.0)
    with pytest.raises(CheckpointMismatch, match=r"its functional (has other code, or|is) "):
        walk(path, functional=(other or make)(), mu=mu, n_steps=3, scheme=scheme)


@pytest.mark.slow
def test_a_fingerprint_is_that_of_another_process_and_of_a_used_functional():
    code = (
        "from jko.fingerprint import fingerprint\nfrom tests import problems\n"
        "print(*[fingerprint(F) for d in (1, 2) for F in problems.functionals(d)])"
    )
    known = [F for d in (1, 2) for F in problems.functionals(d)]
    for kind in (fn.Interaction, fn.MMD):
        next(F for F in known if isinstance(F, kind)).first_variation(problems.particles(1, n=3))
    child = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "7"},
    )  # fmt: skip
    assert child.stdout.split() == [fingerprint(functional) for functional in known]


def chunks_of(content):
    ends = [0, *chunk_ends(content)]
    return [content[a:b] for a, b in itertools.pairwise(ends)]


def test_chunks_left_out_moved_or_of_another_run_cost_steps_and_no_more(tmp_path):
    path, whole = tmp_path / "run", walk(n_steps=5, store_every=2)
    walk(path, n_steps=5, store_every=2)
    head, *chunks = chunks_of(path.read_bytes())
    walk(tmp_path / "other", n_steps=5, store_every=2, scheme=own_schemes.Noise(seed=3))
    others = chunks_of((tmp_path / "other").read_bytes())
    for forged in (
        [chunks[0], *chunks[2:]], chunks[1:], [chunks[1], chunks[0], *chunks[2:]], [chunks[0], *chunks],
        [chunks[0], others[2], *chunks[2:]], others[1:], chunks[:2] + chunks[3:],
    ):  # fmt: skip
        path.write_bytes(b"".join([head, *forged]))
        same(walk(path, n_steps=5, store_every=2), whole)


@pytest.mark.parametrize(
    "forge",
    [
        lambda chunk: chunk.pop("measure"),
        lambda chunk: chunk.update(done=4),
        lambda chunk: chunk.update(after=1),
        lambda chunk: chunk["measure"].update(positions=np.zeros(2)),
        lambda chunk: chunk.update(frames=[]),
        lambda chunk: chunk.update(records={"status": np.array(["converged"])}),
    ],
)
def test_a_forged_chunk_is_one_sentence(tmp_path, forge):
    path = tmp_path / "run"
    journal = Journal(path, describe_problem(F, problems.particles(2), own_schemes.Noise(), 0.1, 1))
    walk(path, n_steps=2)
    (*_, chunk) = [packing.unpack(part[_HEAD.size :]) for part in chunks_of(path.read_bytes())[1:]]
    chunk |= {"after": 0, "frames": [[0, 0.0, 0.0, chunk["measure"]], *chunk["frames"]]}
    chunk["records"] = dict(jko.Records.constant(2))
    forge(chunk)
    path.unlink()
    journal.open()
    journal.append(chunk)
    journal.close()
    with pytest.raises(CheckpointMismatch, match=r"holds what no run has written \(.*\): give another path"):
        walk(path, n_steps=5)


def test_a_forged_head_and_an_earlier_version_are_one_sentence(tmp_path):
    path = tmp_path / "run"
    payload = packing.pack({"problem": {}})
    digest = hashlib.sha256(_MAGIC + payload).digest()
    path.write_bytes(_MAGIC + _HEAD.pack(len(payload), digest) + payload)
    with pytest.raises(CheckpointMismatch, match="holds what no run has written"):
        walk(path)
    path.write_bytes(_EARLIER[-1] + b"anything")
    with pytest.raises(CheckpointMismatch, match="was written by an earlier version of jko"):
        walk(path)


def test_a_full_disk_keeps_the_steps_before(tmp_path, monkeypatch):
    path, full = tmp_path / "run", [3]

    def fsync(descriptor):
        full[0] -= 1
        if full[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(NotWritten, match=r"no space left .*; the steps that it held before are kept"):
        walk(path, n_steps=9)
    full[0] = 100
    same(walk(path, n_steps=9), walk(n_steps=9))
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


def test_a_long_description_is_cut_where_it_differs(tmp_path):
    long = sum((float(k) * F for k in range(1, 40)), start=F)
    walk(tmp_path / "run", functional=long)
    with pytest.raises(
        CheckpointMismatch, match=r"its functional is \.\.\..*Potential.*here it is"
    ) as caught:
        walk(tmp_path / "run", functional=long + F)
    assert len(str(caught.value)) < 600


def test_a_second_writer_is_refused(tmp_path):
    path, seen = tmp_path / "run", []

    class Calling(own_schemes.Noise):
        def step(self, problem, mu, t, tau, state):
            if not seen:
                seen.append(None)
                with pytest.raises(ValueError, match="another run is writing to") as caught:
                    walk(path, scheme=self)
                seen[0] = caught.value
            return super().step(problem, mu, t, tau, state)

    jko.scheme.Scheme.known.pop(Calling.scheme_name())
    walk(path, scheme=Calling())
    assert isinstance(seen[0], ValueError)
    same(walk(path, scheme=Calling()), walk())


def test_two_runs_that_start_at_once_do_not_both_write(tmp_path):
    path, outcomes = tmp_path / "run", []
    barrier = threading.Barrier(4)

    def attempt():
        barrier.wait()
        try:
            outcomes.append(walk(path, n_steps=5, scheme=own_schemes.Noise(pause=0.02)))
        except ValueError as error:
            outcomes.append(error)

    threads = [threading.Thread(target=attempt) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    runs = [outcome for outcome in outcomes if not isinstance(outcome, ValueError)]
    assert len(outcomes) == 4
    assert len(runs) >= 1
    for run in [*runs, walk(path, n_steps=5, scheme=own_schemes.Noise(pause=0.02))]:
        same(run, walk(n_steps=5))
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


def test_a_failed_run_keeps_its_good_steps(tmp_path):
    path, scheme = tmp_path / "run", own_schemes.FailingInBlocks(at=5)
    for _ in range(2):
        with pytest.raises(StepFailed, match="step 6 of"):
            walk(path, scheme=scheme, store_every=10)
    run = walk(path, scheme=scheme, store_every=10, throw=False)
    same(run, walk(scheme=scheme, store_every=10, throw=False))
    same(walk(path, scheme=scheme, store_every=10, throw=False, n_steps=20), run)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda p: p / "missing" / "run", ValueError, "the folder .* does not exist: make it first"),
        (lambda p: p, CheckpointMismatch, "is a folder: give the path of a file"),
        (lambda p: written(p / "text", b"hello"), CheckpointMismatch, "is not a checkpoint of jko"),
        (lambda p: written(p / "empty", b""), CheckpointMismatch, "is not a checkpoint of jko"),
    ],
)
def test_paths_that_cannot_be_a_checkpoint(tmp_path, make, error, message):
    path = make(tmp_path)
    with pytest.raises(error, match=message):
        walk(path)


def written(path, content):
    path.write_bytes(content)
    return path


def test_a_refused_file_is_let_go(tmp_path):
    walk(tmp_path / "run")
    with pytest.raises(CheckpointMismatch) as kept:
        walk(tmp_path / "run", tau=0.7)
    same(walk(tmp_path / "run"), walk())
    assert kept.value.__traceback__ is not None


def test_content_round_trips():
    content = {
        "array": np.arange(6, dtype=np.float32).reshape(2, 3),
        "nested": {
            "list": [1, 2.5, None, True, "x"],
            "tuple": (1, (2, {"deep": np.array([], dtype=np.int8)})),
        },
        "numbers": {
            "int": 2**80,
            "float": 0.1 + 0.2,
            "nan": float("nan"),
            "inf": -float("inf"),
            "minus zero": -0.0,
        },
        "scalars": [np.float32(0.1), np.int64(-3), np.bool_(True), np.complex128(1 + 2j)],
        "zero-dimensional": np.array(3.0),
        "words": np.array(["a", "βγ"]),
        "key": np.array([1, 2**32 - 1], dtype=np.uint32),
    }
    back = packing.unpack(packing.pack(content))
    assert_same(content, back)
    jax_array = packing.unpack(packing.pack({"x": jnp.arange(3)}))["x"]
    assert isinstance(jax_array, np.ndarray)


def assert_same(a, b):
    assert type(a) is type(b)
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            assert_same(a[key], b[key])
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b)
        for x, y in zip(a, b):
            assert_same(x, y)
    elif isinstance(a, np.ndarray):
        assert (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())
    else:
        assert repr(a) == repr(b)


@pytest.mark.parametrize(
    "bad", [{1: 2}, {"a": object()}, {"a": b"bytes"}, {"a": np.array([object()])}, {"a": {"b": {3}}}]
)
def test_what_would_not_come_back_is_refused(bad):
    with pytest.raises(TypeError, match="a state"):
        packing.pack(bad)


def test_seconds_are_those_of_all_calls(tmp_path, monkeypatch):
    clock = iter(range(10_000))
    monkeypatch.setattr("jko.driver.monotonic", lambda: float(next(clock)))
    calls, path = [], tmp_path / "run"
    for n_steps in (2, 5, 5):
        before = next(clock)
        calls.append((walk(path, n_steps=n_steps).attributes["seconds"], next(clock) - before))
    (first, spent), (second, more), (third, _) = calls
    assert 0 < first <= spent < second <= spent + more
    assert third == pytest.approx(second, abs=5)  # what reading the file again takes, by this clock
