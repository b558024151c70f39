"""One process holds a file: by the system's own locks, and by those that Windows has."""

import subprocess
import sys
from types import SimpleNamespace

import pytest

from jko import locks

CHILD = """
import sys
from jko.locks import Lock
lock = Lock(sys.argv[1])
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "run.checkpoint"
    file.write_bytes(b"what it holds")
    return file


def test_a_second_hold_is_refused_until_the_first_ends(path):
    first = locks.Lock(path)
    with pytest.raises(BlockingIOError):
        locks.Lock(path)
    assert path.read_bytes() == b"what it holds"
    first.release()
    first.release()  # twice does no harm
    locks.Lock(path).release()


@pytest.mark.slow
def test_the_hold_of_a_killed_process_ends_with_it(path):
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdout.readline().strip() == b"held"
    with pytest.raises(BlockingIOError):
        locks.Lock(path)
    child.kill()
    child.communicate()
    locks.Lock(path).release()


def test_where_there_is_no_fcntl_a_file_beside_is_held(path, monkeypatch):
    """Windows' module as its documentation has it: a locked byte makes a second `locking` fail."""
    held = set()

    def locking(descriptor, mode, count):
        assert (mode, count) == ("LK_NBLCK", 1)
        beside = path.with_name(".run.checkpoint.lock")
        if beside in held:
            raise PermissionError(13, "Permission denied")
        held.add(beside)

    windows = SimpleNamespace(locking=locking, LK_NBLCK="LK_NBLCK")
    monkeypatch.setattr(locks, "_module", {"msvcrt": windows}.get)
    first = locks.Lock(path)
    with pytest.raises(BlockingIOError):
        locks.Lock(path)
    assert path.with_name(".run.checkpoint.lock").exists()
    first.release()
    assert [entry.name for entry in path.parent.iterdir()] == ["run.checkpoint"]
