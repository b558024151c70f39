"""A run's journal on disk: what survives `kill -9`.

One file that only ever grows: a header chunk that says which problem it is, then a chunk for each
checkpoint with the frames and records since the last one, the measure and the state. A chunk carries its
length and the SHA-256 of the chunk before it and its own content: what was cut off, damaged, left out or put
in from another file is recognised, and dropped with all that follows; nothing before it is touched. The file
is made beside and renamed.
"""

from __future__ import annotations

import hashlib
import os
import struct
import threading
from contextlib import suppress
from pathlib import Path

import numpy as np

from functionals import Functional
from jko.errors import CheckpointMismatch, file_path, shortened
from jko.fingerprint import fingerprint, without_addresses
from jko.locks import Lock
from jko.measures import Measure
from jko.packing import pack, unpack
from jko.scheme import Scheme
from jko.writing import saying_what_is_kept

_MAGIC = b"jko checkpoint 3\n"
_EARLIER = b"jko checkpoint 1\n", b"jko checkpoint 2\n"  # no chain of chunks; weights by another name
_HEAD = struct.Struct("<Q32s")
_ROUNDING = 1e-9  # relative; what another machine's sums may differ by, far below what makes another problem
_SHOWN = 100  # letters of a description in a message


class Journal:
    """The checkpoint file of one run: `open` makes or reads it, `append` adds a checkpoint."""

    def __init__(self, path: Path, problem: dict):
        self.path = file_path("checkpoint", path)
        self._problem = problem
        self._at = 0, b""  # where the next chunk goes, and the digest of the last one
        self._lock: Lock | None = None

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
            return self._chunks()
        except BaseException:
            self.close()
            raise

    def _chunks(self) -> list[dict]:
        try:
            header, *chunks = self._read()
            _require_same(self._problem, header, self.path)
        except (CheckpointMismatch, MemoryError):
            raise
        except Exception as error:  # whoever made the digests anew can have put anything under them
            raise unreadable(self.path, error) from error
        return chunks

    def append(self, content: dict) -> None:
        """Add one checkpoint and wait until the disk has it; raises NotWritten where the disk is full."""
        end, last = self._at
        chunk, digest = _chunk(content, last)
        kept = "the steps that it held before are kept"
        with saying_what_is_kept(self.path, kept), open(self.path, "r+b") as file:
            file.seek(end)
            file.truncate()
            file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        self._at = end + len(chunk), digest

    def close(self) -> None:
        """Let another run take the file."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _create(self):
        beside = self.path.with_name(f".{os.getpid()}-{threading.get_ident()}.checkpoint.partial")
        with saying_what_is_kept(self.path):
            try:
                with open(beside, "wb") as file:
                    file.write(_MAGIC + _chunk(self._problem, _MAGIC)[0])
                    file.flush()
                    os.fsync(file.fileno())
                _link_unless_there(beside, self.path)
            finally:
                with suppress(OSError):
                    beside.unlink(missing_ok=True)

    def _hold(self):
        try:
            self._lock = Lock(self.path)
        except BlockingIOError:
            raise ValueError(
                f"checkpoint: another run is writing to {str(self.path)!r}: wait for it or take another path"
            ) from None

    def _read(self) -> list[dict]:
        content = self.path.read_bytes()
        if not content.startswith(_MAGIC):
            what = (
                "was written by an earlier version" if content.startswith(_EARLIER) else "is not a checkpoint"
            )
            raise CheckpointMismatch(
                f"checkpoint: {str(self.path)!r} {what} of jko: give another path, or remove it to start anew"
            )
        chunks: list[dict] = []
        end, last = len(_MAGIC), _MAGIC
        while len(content) >= end + _HEAD.size:
            length, digest = _HEAD.unpack_from(content, end)
            payload = content[end + _HEAD.size : end + _HEAD.size + length]
            if not 0 < length == len(payload) or _chained(last, payload) != digest:
                break
            chunks.append(unpack(payload))
            end, last = end + _HEAD.size + length, digest
        if not chunks:
            raise CheckpointMismatch(
                f"checkpoint: {str(self.path)!r} has lost its header: remove it to start anew"
            )
        self._at = end, last
        return chunks


def _link_unless_there(made: Path, path: Path):
    """Give a finished file its name, leaving alone a file that another run has put there meanwhile."""
    try:
        os.link(made, path)
    except FileExistsError:
        pass
    except OSError:  # a file system without hard links
        made.replace(path)


def unreadable(path, error: BaseException) -> CheckpointMismatch:
    """The refusal of a file whose chunks are whole, but hold what no run has written."""
    return CheckpointMismatch(
        f"checkpoint: {str(path)!r} holds what no run has written ({shortened(error)}): give another path, "
        "or remove it to start anew"
    )


def describe_problem(F: Functional, mu: Measure, scheme: Scheme, tau: float, store_every: int) -> dict:
    """What makes two runs the same problem.

    F's numbers at mu and what F is made of (`fingerprint`: functions by their code, constants and what they
    read), mu, the scheme's settings, τ, store_every.
    """
    return {
        "problem": {
            "functional": repr(F),
            "scheme": repr(scheme),
            "tau": tau,
            "store_every": store_every,
            "measure": repr(mu),
        },
        "made of": {"functional": fingerprint(F), "scheme": fingerprint(vars(scheme))},
        "probe": np.concatenate([np.ravel(np.asarray(entry, dtype=float)) for entry in F.probe(mu)]),
        "initial": mu.packed(),
        "fixed": mu.fixed(),
    }


def _require_same(problem: dict, stored: dict, path: Path) -> None:
    for name, ours in problem["problem"].items():
        theirs = stored["problem"][name]
        if without_addresses(str(ours)) != without_addresses(str(theirs)):
            here, there = _where_they_differ(str(ours), str(theirs))
            _refuse(path, f"its {name} is {there}, here it is {here}")
    for key, ours in problem["initial"].items():
        if not _alike(ours, stored["initial"].get(key)):
            _refuse(path, "its initial measure has other values")
    for key, ours in problem["fixed"].items():
        if not _alike(ours, stored["fixed"].get(key)):
            _refuse(path, f"its {key} have other values")
    if not _alike(problem["probe"], stored["probe"]):
        _refuse(path, "its functional has other values")
    for name, ours in problem["made of"].items():
        if stored["made of"][name] != ours:
            _refuse(
                path,
                f"its {name} has other code, or reads other numbers, though it agrees on the initial measure "
                "(attributes that only remember what was computed belong into the class's `memoised`)",
            )


def _refuse(path: Path, reason: str):
    raise CheckpointMismatch(
        f"checkpoint: {str(path)!r} belongs to a different problem: {reason}; give another path, or remove "
        "it to start anew"
    )


def _alike(a: np.ndarray, b: np.ndarray) -> bool:
    """Equal but for the rounding of another machine, on the scale of a's largest number."""
    if np.shape(a) != np.shape(b):
        return False
    size = np.max(np.abs(a), initial=0.0, where=np.isfinite(a))
    return np.allclose(a, b, rtol=_ROUNDING, atol=1e-3 * _ROUNDING * size, equal_nan=True)


def _where_they_differ(ours: str, theirs: str) -> tuple[str, str]:
    """Two descriptions, long ones cut to the place where they begin to differ."""
    if max(len(ours), len(theirs)) <= _SHOWN:
        return ours, theirs
    pairs = enumerate(zip(ours, theirs, strict=False))
    first = next((i for i, (a, b) in pairs if a != b), min(len(ours), len(theirs)))
    start = max(first - _SHOWN // 4, 0)
    dots = "..." if start else ""
    cut = [f"{text[start : start + _SHOWN]}{'...' * (len(text) > start + _SHOWN)}" for text in (ours, theirs)]
    return dots + cut[0], dots + cut[1]


def _chunk(content: dict, before: bytes) -> tuple[bytes, bytes]:
    """The bytes of a chunk that follows the one of digest `before`, and its own digest."""
    payload = pack(content)
    digest = _chained(before, payload)
    return _HEAD.pack(len(payload), digest) + payload, digest


def _chained(before: bytes, payload: bytes) -> bytes:
    return hashlib.sha256(before + payload).digest()
