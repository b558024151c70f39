"""One device, eight, and two processes: the same numbers, one checkpoint, and what happens when one dies."""

import os
import socket
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

import jax
import numpy as np
import pytest

import jko
from tests.sharding import program

ROOT = Path(__file__).parents[2]


def start(*arguments, devices):
    flags = f"--xla_force_host_platform_device_count={devices}"
    return subprocess.Popen(
        [sys.executable, "-m", "tests.sharding.program", *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@lru_cache
def on_one_device():
    return program.runs()


def require_same(stored):
    """The noise and what it moves to the last bit, what is summed over all particles to rounding."""
    for name, value in on_one_device().items():
        if name.startswith("noise") and name.endswith("positions"):
            assert np.array_equal(stored[name], value)
        else:
            rounding = 1e-6 if name.startswith("noise") else 1e-13
            np.testing.assert_allclose(stored[name], value, rtol=rounding, atol=rounding, err_msg=name)


def require_goes_on(path, n_steps):
    """The file goes on here, on one device, to the bits of a run that never left it."""
    resumed, whole = program.long_run(n_steps, path), program.long_run(n_steps)
    assert np.array_equal(resumed.times, whole.times)
    for there, here in zip(resumed.measures, whole.measures, strict=True):
        assert np.array_equal(there.positions, here.positions)
    assert np.allclose(resumed.energy, whole.energy, rtol=1e-13)
    assert np.allclose(resumed.info["spread"], whole.info["spread"], rtol=1e-13)


@pytest.mark.long
def test_eight_devices_give_the_numbers_of_one(tmp_path):
    process = start("devices", tmp_path, devices=8)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    with np.load(tmp_path / "eight.npz") as stored:
        require_same(stored)
    require_goes_on(tmp_path / "long.ckpt", 20)


@pytest.mark.long
def test_two_processes_give_the_numbers_of_one_and_the_death_of_one_loses_nothing(tmp_path):
    path = tmp_path / "long.ckpt"
    program.long_run(10, path)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = [start("process", number, port, tmp_path, devices=1) for number in range(2)]
    output, _ = processes[0].communicate(timeout=300)
    other, _ = processes[1].communicate(timeout=300)
    assert processes[1].returncode == 9, other
    assert processes[0].returncode == 3, output
    assert "start all processes again, and a run with a checkpoint goes on from it" in output
    with np.load(tmp_path / "two.npz") as stored:
        require_same(stored)
    size = path.stat().st_size
    require_goes_on(path, 30)
    assert path.stat().st_size > size


def test_the_mesh_is_that_of_the_innermost_block():
    assert jko.sharding.active() is None
    with jko.sharding.over(1) as mesh:
        assert jko.sharding.active() is mesh
        assert mesh.size == 1
    assert jko.sharding.active() is None


@pytest.mark.slow
def test_one_device_of_a_mesh_is_the_plain_run():
    with jko.sharding.over(jax.devices()[:1]):
        run = program.long_run(10)
    assert np.array_equal(run.final.positions, program.long_run(10).final.positions)


@pytest.mark.parametrize(
    ("devices", "error", "match"),
    [
        (4, ValueError, r"at most the 1 that jax sees.*jax_num_cpu_devices"),
        (0, ValueError, "devices: expected a whole number"),
        (["cpu:0"], TypeError, "list of jax devices"),
        (jax.devices()[:1] * 2, ValueError, "each device once, got .* more than once"),
    ],
)
def test_devices_that_are_not_there(devices, error, match):
    with pytest.raises(error, match=match), jko.sharding.over(devices):
        pass


def alone(*_, **__):
    """What jax says where nothing tells it of other processes."""
    raise ValueError("coordinator_address should be defined.")


def test_refusals(monkeypatch):
    with pytest.raises(ValueError, match="processes= and process="):
        jko.sharding.initialize("127.0.0.1:1234")
    with pytest.raises(ValueError, match="process: expected 0 to 1, got 2"):
        jko.sharding.initialize("127.0.0.1:1234", 2, 2)
    with pytest.raises(ValueError, match=r'address: expected "host:port" of process 0'):
        jko.sharding.initialize("node-1", 2, 0)
    with monkeypatch.context() as patch:
        patch.setattr("jax.distributed.initialize", alone)
        with pytest.raises(ValueError, match="address: no cluster manager was found"):
            jko.sharding.initialize()
    with jko.sharding.over(1):
        with pytest.raises(ValueError, match=r"BackwardEuler runs on one device.*ForwardEuler.*Langevin"):
            jko.flow(program.PAIRS, program.particles(), jko.descent.BackwardEuler(), tau=0.1, n_steps=1)
        mesh = type("Mesh", (), {"size": 4})()
        monkeypatch.setattr("jko.sharding.mesh.active", lambda: mesh)
        with pytest.raises(ValueError, match=r"3 particles are fewer than the 4 devices.*over\(3\)"):
            jko.sharding.require_enough(3)
