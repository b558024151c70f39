"""A run's journal on disk: what survives `kill -9`.

One file that only ever grows: a header chunk that says which problem it is, then a chunk for each
checkpoint with the frames and records since the last one, the measure and the state. A chunk carries its
length and checksum, so a write that was cut off is recognised and dropped; nothing before it is touched.
The file is made beside and renamed.
"""

from __future__ import annotations

import os
import re
import struct
import threading
import zlib
from pathlib import Path

import numpy as np

from jko.errors import CheckpointMismatch
from jko.measures import Density, Gaussian, Particles
from jko.packing import pack, unpack

_MAGIC = b"jko checkpoint 1\n"
_HEAD = struct.Struct("<QI")


def pack_measure(mu) -> dict[str, np.ndarray]:
    """The arrays that change along a run."""
    if isinstance(mu, Density):
        return {"values": mu.values}
    if isinstance(mu, Particles):
        return {"positions": mu.positions}
    return {"mean": mu.mean(), "covariance": mu.covariance()}


def unpack_measure(arrays: dict[str, np.ndarray], like):
    """The inverse of `pack_measure`, given any measure of the run."""
    if isinstance(like, Density):
        return like.with_values(arrays["values"])
    if isinstance(like, Particles):
        return like.with_positions(arrays["positions"])
    return Gaussian(arrays["mean"], arrays["covariance"])


class Journal:
    """The checkpoint file of one run: `open` makes or reads it, `append` adds a checkpoint."""

    def __init__(self, path, problem: dict):
        self.path = Path(path)
        self._problem = problem
        self._end = 0
        self._lock = None

    def open(self) -> list[dict]:
        """The checkpoints already there, oldest first; makes the file if there is none.

        Raises CheckpointMismatch if the file is not a checkpoint or belongs to a different problem, and
        ValueError if its folder is missing or another run holds it.
        """
        if not self.path.parent.is_dir():
            raise ValueError(
                f"checkpoint: the folder {str(self.path.parent)!r} does not exist: make it first"
            )
        if self.path.is_dir():
            raise CheckpointMismatch(f"checkpoint: {str(self.path)!r} is a folder: give the path of a file")
        if not self.path.exists():
            self._create()
        self._hold()
        try:
            header, *chunks = self._read()
            _require_same(self._problem, header, self.path)
        except BaseException:
            self.close()
            raise
        return chunks

    def append(self, content: dict) -> None:
        """Add one checkpoint and wait until the disk has it."""
        with open(self.path, "r+b") as file:
            file.seek(self._end)
            file.truncate()
            file.write(_chunk(content))
            file.flush()
            os.fsync(file.fileno())
            self._end = file.tell()

    def close(self) -> None:
        """Let another run take the file."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _create(self):
        beside = self.path.with_name(f".{self.path.name}.{os.getpid()}-{threading.get_ident()}.partial")
        try:
            with open(beside, "wb") as file:
                file.write(_MAGIC + _chunk(self._problem))
                file.flush()
                os.fsync(file.fileno())
            _link_unless_there(beside, self.path)
        finally:
            beside.unlink(missing_ok=True)

    def _hold(self):
        try:
            import fcntl
        except ImportError:  # no such locks on this system; a second writer is then the user's own care
            return
        self._lock = open(self.path, "rb")  # noqa: SIM115 - held until close()
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self.close()
            raise ValueError(
                f"checkpoint: another run is writing to {str(self.path)!r}: wait for it or take another path"
            ) from None

    def _read(self) -> list[dict]:
        content = self.path.read_bytes()
        if not content.startswith(_MAGIC):
            raise CheckpointMismatch(
                f"checkpoint: {str(self.path)!r} is not a checkpoint of jko: give another path"
            )
        chunks, self._end = [], len(_MAGIC)
        while len(content) >= self._end + _HEAD.size:
            length, checksum = _HEAD.unpack_from(content, self._end)
            payload = content[self._end + _HEAD.size : self._end + _HEAD.size + length]
            if not 0 < length == len(payload) or zlib.crc32(payload) != checksum:
                break
            chunks.append(unpack(payload))
            self._end += _HEAD.size + length
        if not chunks:
            raise CheckpointMismatch(
                f"checkpoint: {str(self.path)!r} has lost its header: remove it to start anew"
            )
        return chunks


def _link_unless_there(made: Path, path: Path):
    """Give a finished file its name, leaving alone a file that another run has put there meanwhile."""
    try:
        os.link(made, path)
    except FileExistsError:
        pass
    except OSError:  # a file system without hard links
        made.replace(path)


def describe_problem(F, mu, scheme, tau: float, store_every: int) -> dict:
    """What makes two runs the same problem: F's numbers at mu, mu, the scheme's settings, τ, store_every."""
    return {
        "problem": {
            "functional": repr(F),
            "scheme": repr(scheme),
            "tau": tau,
            "store_every": store_every,
            "measure": repr(mu),
        },
        "probe": np.concatenate([np.ravel(np.asarray(entry, dtype=float)) for entry in F.probe(mu)]),
        "initial": pack_measure(mu),
        "weights": np.asarray(getattr(mu, "weights", 0.0)),
    }


def _require_same(problem: dict, stored: dict, path) -> None:
    ours, theirs = problem["problem"], stored["problem"]
    for name in ("functional", "scheme", "tau", "store_every", "measure"):
        if without_addresses(ours[name]) != without_addresses(theirs[name]):
            raise CheckpointMismatch(
                f"checkpoint: {str(path)!r} belongs to a different problem: its {name} is {theirs[name]}, "
                f"here it is {ours[name]}; give another path, or remove it to start anew"
            )
    pairs = [
        ("initial measure has", problem["initial"][key], stored["initial"].get(key))
        for key in problem["initial"]
    ]
    pairs += [
        ("weights have", problem["weights"], stored["weights"]),
        ("functional has", problem["probe"], stored["probe"]),
    ]
    for what, a, b in pairs:
        if np.shape(a) != np.shape(b) or not np.allclose(a, b, rtol=1e-9, atol=1e-12, equal_nan=True):
            raise CheckpointMismatch(
                f"checkpoint: {str(path)!r} belongs to a different problem: its {what} other values; "
                "give another path, or remove it to start anew"
            )


def without_addresses(value):
    """A description without the addresses in memory that Python's own repr puts there."""
    return re.sub(r" at 0x[0-9a-f]+", "", value) if isinstance(value, str) else value


def _chunk(content: dict) -> bytes:
    payload = pack(content)
    return _HEAD.pack(len(payload), zlib.crc32(payload)) + payload
