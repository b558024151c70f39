"""The checkpoint of a run of several processes: process 0 has the file, all of them know what is in it."""

from __future__ import annotations

from pathlib import Path

import jax

from jko.checkpoint import Journal
from jko.errors import CheckpointMismatch, NotWritten
from jko.packing import pack, unpack
from jko.sharding import active, leads, shared

_REFUSALS = {"mismatch": CheckpointMismatch, "not written": NotWritten, "value": ValueError}


class SharedJournal:
    """A `Journal` on process 0, whose content and whose refusals reach every process."""

    def __init__(self, path, problem: dict):
        self._journal = Journal(path, problem) if leads() else None

    def open(self) -> list[dict]:
        """As `Journal.open`, on all processes at once."""
        content = unpack(shared(pack(self._read()) if leads() else None))
        if content["refusal"]:
            raise _REFUSALS[content["kind"]](content["refusal"])
        return content["chunks"]

    def _read(self) -> dict:
        try:
            return {"refusal": "", "chunks": self._journal.open()}
        except tuple(_REFUSALS.values()) as error:
            kind = next(name for name, of_kind in _REFUSALS.items() if isinstance(error, of_kind))
            return {"refusal": str(error), "kind": kind}

    def append(self, content: dict) -> None:
        """As `Journal.append`, on process 0."""
        if self._journal is not None:
            self._journal.append(content)

    def close(self) -> None:
        """As `Journal.close`, on process 0."""
        if self._journal is not None:
            self._journal.close()


def journal_of(path: Path, problem: dict):
    """The journal of a run: a shared one where the active mesh has devices of several processes."""
    together = active() is not None and jax.process_count() > 1
    return SharedJournal(path, problem) if together else Journal(path, problem)
