"""Several processes that run the same program, each with devices of its own."""

from __future__ import annotations

import os
from contextlib import contextmanager

import jax
import numpy as np

from jko.errors import ProcessLost, positive_number, whole_number
from jko.sharding.mesh import active

_HEARTBEAT = 10.0  # seconds between the signs of life by which a lost process is noticed
_forked_from: list[int] = []  # the process that had computed with jax before it forked this one


def _remember_fork():
    from jax._src import xla_bridge  # jax has no public name for it

    if xla_bridge.backends_are_initialized():
        _forked_from.append(os.getppid())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_remember_fork)


def refuse_fork() -> None:
    """Raise RuntimeError in a process forked from one that had used jax: a fork leaves its threads behind."""
    if _forked_from:
        raise RuntimeError(
            f"process {os.getpid()} was forked from process {_forked_from[0]} after that had computed with "
            "jax, and jax hangs there: start processes afresh, by multiprocessing.get_context('spawn') or "
            "jko.ensemble(..., executor=n)"
        )


def initialize(
    address: str | None = None,
    processes: int | None = None,
    process: int | None = None,
    *,
    heartbeat_seconds: float = _HEARTBEAT,
) -> None:
    """Join this process to the others, before anything else asks jax for devices.

    Under SLURM, Open MPI or on a cloud's pod no argument is needed; elsewhere give the `address` "host:port"
    of process 0, the number of `processes` and the number of this `process`. The service listens at that
    address alone. When a process dies the others end within `heartbeat_seconds` and a little more, with what
    happened on their standard error: a run with a checkpoint goes on from there when all are started again.
    """
    positive_number("heartbeat_seconds", heartbeat_seconds)
    options = {"heartbeat_timeout_seconds": max(1, round(heartbeat_seconds))}
    if address is not None:
        if processes is None or process is None:
            raise ValueError("address: with an address, give processes= and process= as well")
        if not whole_number("process", process, least=0) < whole_number("processes", processes):
            raise ValueError(f"process: expected 0 to {processes - 1}, got {process}")
        if not (
            isinstance(address, str) and address.rpartition(":")[0] and address.rpartition(":")[2].isdigit()
        ):
            raise ValueError(f'address: expected "host:port" of process 0, got {address!r}')
        options |= {"num_processes": processes, "process_id": process, "coordinator_bind_address": address}
    try:
        jax.distributed.initialize(address, **options)
    except ValueError as error:
        if address is not None:
            raise
        raise ValueError(
            "address: no cluster manager was found that says which processes there are: give the address "
            f'"host:port" of process 0, processes= and process= ({error})'
        ) from None


def leads() -> bool:
    """Whether this process is the one that writes files: the only one, or number 0 of many."""
    return jax.process_index() == 0


@contextmanager
def together():
    """Within the block, the loss of another process is a ProcessLost that says how to go on."""
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if active() is None or jax.process_count() == 1:
            raise
        raise ProcessLost(
            "another process of this run stopped answering: start all processes again, and a run with a "
            f"checkpoint goes on from it ({str(error).splitlines()[0]})"
        ) from error


def shared(payload: bytes | None) -> bytes:
    """What process 0 gives, on every process."""
    if jax.process_count() == 1:
        return payload
    from jax.experimental.multihost_utils import broadcast_one_to_all

    length = int(broadcast_one_to_all(np.asarray(len(payload or b""), dtype=np.int32)))
    mine = np.frombuffer(payload, np.uint8) if leads() else np.zeros(length, np.uint8)
    return np.asarray(broadcast_one_to_all(mine)).tobytes()
