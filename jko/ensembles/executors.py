"""Members on other processes: concurrent.futures, or dask on a cluster."""

from __future__ import annotations

import pickle
from contextlib import ExitStack, contextmanager

from jko.ensembles.problem import run_member, sentence
from jko.errors import whole_number


@contextmanager
def submitting(executor, problem):
    """A function that sends a member away and returns another one that waits for what is kept of it."""
    with ExitStack() as stack:
        executor = _made(executor, stack)
        content = _packed(problem)

        def submit(member):
            future = executor.submit(run_packed, content, _packed(member))

            def result():
                try:
                    return future.result()
                except Exception as error:  # a worker that died, or a result that could not travel
                    return {"failure": sentence(error)}

            return result

        yield submit


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
