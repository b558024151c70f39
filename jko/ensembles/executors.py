"""Members on other processes: concurrent.futures, or dask on a cluster."""

from __future__ import annotations

import pickle
from asyncio import CancelledError
from concurrent.futures import BrokenExecutor
from contextlib import ExitStack
from queue import SimpleQueue

from jko.ensembles.family import run_member, sentence
from jko.errors import ProcessLost, whole_number


def answers(executor, problem, members):
    """(number, what is kept of it) of every member, run elsewhere, as they finish."""
    with ExitStack() as stack:
        executor = _made(executor, stack)
        content, packed = _packed(problem), [_packed(member) for member in members]
        finished, futures = SimpleQueue(), []
        for number, member in enumerate(packed):
            futures.append(_submitted(executor, content, member))
            if hasattr(futures[number], "add_done_callback"):
                futures[number].add_done_callback(lambda _, number=number: finished.put(number))
            else:
                finished.put(number)
        for _ in members:
            number = finished.get()
            yield number, _answer(futures[number])


def _submitted(executor, content, member):
    """A future, or the error that the executor had none for."""
    try:
        return executor.submit(run_packed, content, member)
    except Exception as error:  # a pool that broke before all members were sent
        return error


def _answer(future) -> dict:
    """What a worker sent back, or why it did not: it died, or its result could not travel."""
    try:
        if isinstance(future, Exception):
            raise future
        return future.result()
    except (Exception, CancelledError) as error:
        if isinstance(error, BrokenExecutor) or type(error).__name__ == "KilledWorker":
            error = ProcessLost(
                "a worker process ended without an answer, and took this member with it: call again, and "
                f"with folder= no more than what is missing is run ({type(error).__name__})"
            )
        return {"failure": sentence(error)}


def run_packed(problem: bytes, member: bytes) -> dict:
    """`run_member` where the arguments come as bytes."""
    return run_member(pickle.loads(problem), pickle.loads(member))


def _made(executor, stack: ExitStack):
    """An object with `submit`; one that is made here is closed with the stack."""
    if isinstance(executor, str):
        return stack.enter_context(_dask_client(executor))
    if hasattr(executor, "submit"):
        return executor
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    try:
        count = whole_number("executor", executor)
    except TypeError:
        raise TypeError(
            "executor: expected a number of processes, an object with submit() such as a dask Client, or the "
            f"address of a dask scheduler, got {type(executor).__name__}"
        ) from None
    # jax does not survive a fork
    return stack.enter_context(ProcessPoolExecutor(count, mp_context=get_context("spawn")))


def _dask_client(address: str):
    try:
        from dask.distributed import Client
    except ImportError:
        raise ValueError(
            f"executor: {address!r} is a dask scheduler, and dask is not installed: "
            "pip install 'jko[cluster]', or give a number of processes"
        ) from None
    return Client(address)


def _packed(content) -> bytes:
    try:
        return pickle.dumps(content)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        reason = error
    try:
        import cloudpickle
    except ImportError:
        raise ValueError(
            f"executor: the problem cannot be sent to another process ({reason}): define its functions at "
            "the top of a module, or pip install 'jko[cluster]'"
        ) from None
    return cloudpickle.dumps(content)
