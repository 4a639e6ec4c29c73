"""Models of torch as models of tinytorch."""

from __future__ import annotations

import tempfile
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any, Union

from tinytorch._tinytorch import Model
from tinytorch.errors import InvalidType, InvalidValue

__all__ = ["from_torch"]


def from_torch(module: Any, example: Union[Any, tuple[Any, ...]]) -> Model:
    """A model of tinytorch that computes what a ``torch.nn.Module`` does, through torch's own export to ONNX.

    Args:
        module: The module, in evaluation mode.
        example: A tensor that it takes, or a tuple of them, the first axis of each the batch. The model takes batches of
            any size.

    Raises:
        TypeError: If ``module`` is none.
        ValueError: If it is in training mode, or holds an operator that tinytorch does not run, which is named.
    """
    torch = import_module("torch")
    if not isinstance(module, torch.nn.Module):
        raise InvalidType(f"from_torch takes a torch.nn.Module, got {type(module).__name__}")
    if module.training:
        raise InvalidValue("the torch module is in training mode; call its eval() first")
    inputs = example if isinstance(example, tuple) else (example,)
    names = ["input"] if len(inputs) == 1 else [f"input_{i}" for i in range(len(inputs))]
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(), torch.inference_mode():
        written = Path(folder) / "module.onnx"
        # That torch will drop this exporter one day does not matter to whoever calls this.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            inputs,
            str(written),
            input_names=names,
            dynamic_axes={name: {0: "batch"} for name in names},
            dynamo=False,
        )
        return Model.from_onnx(type(module).__name__, written.read_bytes())
