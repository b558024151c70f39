"""The results of many runs as one labelled dataset."""

from __future__ import annotations

import numpy as np


def labelled(problem, axes: dict, results: list[dict]):
    """An xarray.Dataset with a dimension for each parameter, members in the order of their product.

    Where all members that finished stored the same times, `time` is the dimension along them and its
    coordinate; else the dimension is `stored`, and `time` a variable.
    """
    import xarray

    results = _of_one_shape(results)
    times = _common_times(results)
    shape = tuple(len(values) for values in axes.values())
    failures = np.array([result["failure"] for result in results], dtype=object).reshape(shape)
    variables = {"failure": (tuple(axes), failures)}
    for kind, along in (("stored", "stored" if times is None else "time"), ("steps", "step")):
        for name, like in _shapes(results, kind).items():
            if name == along:
                continue
            values = np.full((len(results), *like), np.nan)
            for row, result in zip(values, results, strict=True):
                row[...] = result[kind][name] if not result["failure"] else np.nan
            inner = (f"{name}_axis{axis}" for axis in range(1, len(like)))
            variables[name] = ((*axes, along, *inner), values.reshape(*shape, *like))
    coordinates = {name: _coordinate(values) for name, values in axes.items()}
    coordinates |= {} if times is None else {"time": times}
    attributes = {
        "functional": repr(problem.functional),
        "scheme": repr(problem.scheme),
        "n_steps": problem.n_steps,
        "units": "nondimensional",
    }
    return xarray.Dataset(variables, coords=coordinates, attrs=attributes)


def _common_times(results: list[dict]) -> np.ndarray | None:
    """The times that every finished member stored, None where there is none or they differ."""
    stored = [result["stored"]["time"] for result in results if not result["failure"]]
    if not stored or any(not np.array_equal(times, stored[0]) for times in stored[1:]):
        return None
    return stored[0]


def _of_one_shape(results) -> list[dict]:
    """The results, where one whose arrays differ in shape from the first's is a failure."""
    wanted, checked = {kind: _shapes(results, kind) for kind in ("stored", "steps")}, []
    for result in results:
        if not result["failure"]:
            found = {kind: {name: a.shape for name, a in result[kind].items()} for kind in wanted}
            differing = [
                name
                for kind in wanted
                for name in wanted[kind]
                if found[kind].get(name) != wanted[kind][name]
            ]
            if differing:
                sentence = f"ValueError: {', '.join(differing)} have other shapes than in the first member"
                result = {"failure": sentence}
        checked.append(result)
    return checked


def _shapes(results, kind) -> dict[str, tuple[int, ...]]:
    """The shape of every array that a finished member has."""
    for result in results:
        if not result["failure"]:
            return {name: array.shape for name, array in result[kind].items()}
    return {}


def _coordinate(values) -> np.ndarray:
    """Numbers and words as they are, anything else by how it is written."""
    array = np.asarray(values) if all(np.ndim(value) == 0 for value in values) else None
    return array if array is not None and array.dtype.kind in "biufU" else np.array([repr(v) for v in values])
