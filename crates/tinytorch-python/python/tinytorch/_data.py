"""The samples that judge, in whatever form they are given."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any, Optional, Union, cast

import numpy as np

from tinytorch._types import Array, ArrayLike, Batches, Inputs, Path, is_array
from tinytorch.errors import InvalidValue

__all__ = ["Data", "samples_of"]

Data = Union[Path, Batches, tuple[Inputs, ArrayLike]]
"""A path that names a data set, ``(inputs, labels)``, inputs alone, or batches of either."""


def samples_of(data: Data) -> tuple[Inputs, Optional[ArrayLike]]:
    """Inputs and labels of data that are no path; batches are put one after the other."""
    if is_array(data) or isinstance(data, (tuple, Mapping)):
        return _pair(data)
    if isinstance(data, (str, bytes, os.PathLike)) or not isinstance(data, Iterable):
        raise InvalidValue("data are arrays, (inputs, labels), or batches of them")
    # Loaders may fill the arrays that they gave again.
    kept = isinstance(data, (list, tuple))
    batches = [_pair(batch) if kept else _copied(_pair(batch)) for batch in data]
    if not batches:
        raise InvalidValue("there is not one batch to judge by")
    labels = [batch_labels for _, batch_labels in batches]
    if any(one is None for one in labels) and not all(one is None for one in labels):
        raise InvalidValue("some batches have labels and others have none; give labels with all of them or with none")
    return _joined([inputs for inputs, _ in batches]), None if labels[0] is None else _one_after_the_other(labels)


def _pair(data: Any) -> tuple[Inputs, Optional[ArrayLike]]:
    if not isinstance(data, tuple):
        return data, None
    if len(data) != 2:
        raise InvalidValue(f"data are a pair of inputs and labels, got a tuple of {len(data)}; several inputs are a list or a dictionary")
    return data[0], data[1]


def _copied(values: Any) -> Any:
    """The same with copies of the arrays in it."""
    if isinstance(values, Mapping):
        return {name: _copied(value) for name, value in values.items()}
    if isinstance(values, tuple) or (isinstance(values, list) and any(map(is_array, values))):
        return type(values)(map(_copied, values))
    return values if values is None else np.array(_as_numpy(values), copy=True)


def _as_numpy(values: Any) -> Array:
    speaks_dlpack = hasattr(values, "__dlpack__") and not hasattr(values, "__array__")
    return cast("Array", np.from_dlpack(values) if speaks_dlpack else np.asarray(values))


def _joined(batches: list[Any]) -> Inputs:
    first = batches[0]
    if isinstance(first, Mapping):
        return {name: _one_after_the_other([batch[name] for batch in batches]) for name in first}
    if isinstance(first, (list, tuple)):
        return [_one_after_the_other(list(parts)) for parts in zip(*batches)]
    return _one_after_the_other(batches)


def _one_after_the_other(parts: list[Any]) -> ArrayLike:
    return np.concatenate([_as_numpy(part) for part in parts])
