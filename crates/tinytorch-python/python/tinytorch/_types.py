"""The types that several functions take."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Callable, Union

import numpy as np
from numpy.typing import NDArray

__all__ = ["Array", "ArrayLike", "Batches", "Inputs", "Path", "Progress"]

Path = Union[str, "os.PathLike[str]"]
"""Where a file or a folder lies."""

Array = NDArray[Any]
"""An array of NumPy."""

ArrayLike = Any
"""An array of NumPy, or of a library that speaks DLPack, such as ``torch.Tensor``."""

Inputs = Union[ArrayLike, Sequence[ArrayLike], Mapping[str, ArrayLike]]
"""What a model is fed: an array, several in the order of the inputs, or several by their names."""

Batches = Union[Inputs, Iterable[Inputs]]
"""Samples: one batch, or whatever gives batches when it is iterated over."""

Progress = Union[bool, Callable[[str, int, int], None], None]
"""Whether to show a bar, or what to call with what is done, and how many steps of how many."""


def is_array(value: object) -> bool:
    """Whether ``value`` is an array, of NumPy or of a library that speaks DLPack."""
    return isinstance(value, np.ndarray) or hasattr(value, "__dlpack__")
