"""Models that other engines run, as functions from arrays to arrays."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Callable, Optional

import numpy as np

from tinytorch import _memory
from tinytorch._tinytorch import Model, Plan
from tinytorch._types import Array, Path, is_array
from tinytorch.errors import InvalidType, InvalidValue

__all__ = ["ENGINES", "Engine", "adapt"]


@dataclass
class Engine:
    """A model of which only the answers are known."""

    #: What the report calls it.
    name: str
    #: From an array for each input to one for each output.
    call: Callable[[list[Array]], list[Any]]
    #: What the inputs are called, where they have names.
    inputs: list[str] = field(default_factory=list)
    #: What the outputs are called, where they have names.
    outputs: list[str] = field(default_factory=list)
    #: Samples of a pass, if it takes no other number.
    fixed_batch: Optional[int] = None
    #: Its file, if it is known.
    file: Optional[str] = None
    #: From a number of copies to the bytes that a fresh process takes to hold them, and what was measured.
    measure: Optional[Callable[[int], tuple[int, str]]] = None
    #: The same engine on another file, and if that is asked for without rewriting its graph; ``None`` if it cannot do that.
    reopen: Optional[Callable[[str, bool], Optional[Engine]]] = None

    def as_dict(self) -> dict[str, Any]:
        """As the extension takes it."""
        return {
            "name": self.name,
            "call": self.call,
            "outputs": self.outputs,
            "fixed_batch": self.fixed_batch,
            "file": self.file,
            "measure": self.measure,
            "reopen": None if self.reopen is None else self._reopened,
        }

    def _reopened(self, file: str, plain: bool) -> Optional[dict[str, Any]]:
        engine = None if self.reopen is None else self.reopen(os.fspath(file), plain)
        return None if engine is None else engine.as_dict()


def adapt(model: Any, engine: Optional[str]) -> Engine:
    """The engine that runs ``model``; a path is read by ``engine``, or else by tinytorch."""
    if isinstance(model, (str, os.PathLike)):
        name = engine or "tinytorch"
        if name not in ENGINES:
            raise InvalidValue(f"engine cannot be {engine!r}; it is one of {', '.join(ENGINES)}")
        return ENGINES[name](os.fspath(model))
    if isinstance(model, Model):
        return _of_plan(Plan(model), model.file)
    if isinstance(model, Plan):
        return _of_plan(model, None)
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(model, torch.nn.Module):
        return _of_module(model, torch)
    kind = type(model).__module__.split(".")[0]
    if kind == "onnxruntime" and hasattr(model, "get_inputs"):
        return _of_session(model)
    if kind == "openvino" and hasattr(model, "create_infer_request"):
        return _of_compiled(model)
    if callable(model):
        return Engine(name=getattr(model, "__name__", type(model).__name__), call=lambda arrays: _flat(model(*arrays)))
    raise InvalidType(
        f"{type(model).__name__} is no model: give a path, a torch module, a session of ONNX Runtime, a compiled model of OpenVINO, or a callable from arrays to arrays"
    )


def _flat(outputs: Any) -> list[Any]:
    """Each output of whatever a model returns."""
    if is_array(outputs):
        return [outputs]
    if isinstance(outputs, Mapping):
        return [outputs[name] for name in outputs]
    if isinstance(outputs, Sequence) and not isinstance(outputs, (str, bytes)):
        return list(outputs)
    raise InvalidType(f"a model has returned {type(outputs).__name__}; it has to return an array, or several in a tuple, a list or a dictionary")


def _of_plan(plan: Plan, file: Optional[Path]) -> Engine:
    names = [name for name, _ in plan.inputs]

    def call(arrays: list[Array]) -> list[Any]:
        return list(plan.run_all(dict(zip(names, arrays))).values())

    engine = Engine("tinytorch", call, names, plan.outputs)
    return engine if file is None else _in_file(engine, "tinytorch", os.fspath(file))


def _of_module(module: Any, torch: Any) -> Engine:
    if module.training:
        raise InvalidValue("the torch module is in training mode, in which it answers differently each time; call its eval() first")

    def call(arrays: list[Array]) -> list[Any]:
        with torch.inference_mode():
            outputs = _flat(module(*[torch.from_numpy(array) for array in arrays]))
        return [output.numpy(force=True) if isinstance(output, torch.Tensor) else output for output in outputs]

    return Engine(f"torch {type(module).__name__}", call)


def _of_session(session: Any) -> Engine:
    inputs = session.get_inputs()
    names = [value.name for value in inputs]

    def call(arrays: list[Array]) -> list[Any]:
        outputs: list[Any] = session.run(None, dict(zip(names, arrays)))
        return outputs

    engine = Engine("ONNX Runtime", call, names, [value.name for value in session.get_outputs()])
    first = inputs[0].shape[0] if inputs and inputs[0].shape else None
    engine.fixed_batch = first if isinstance(first, int) else None
    engine.reopen = lambda file, plain: _of_session(_session(file, session.get_session_options(), session.get_providers(), plain))
    file = getattr(session, "_model_path", None)
    return _in_file(engine, "onnxruntime", file) if file else engine


def _session(file: str, options: Any, providers: Sequence[str], plain: bool) -> Any:
    onnxruntime = import_module("onnxruntime")
    level = options.graph_optimization_level
    if plain:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(file, options, providers=list(providers))
    options.graph_optimization_level = level
    return session


def _of_compiled(compiled: Any) -> Engine:
    outputs = list(compiled.outputs)

    def name_of(port: Any, i: int, what: str) -> str:
        return port.get_any_name() if port.get_names() else f"{what}_{i}"

    def call(arrays: list[Array]) -> list[Any]:
        found = compiled(arrays)
        return [np.asarray(found[output]) for output in outputs]

    inputs = list(compiled.inputs)
    engine = Engine("OpenVINO", call)
    engine.inputs = [name_of(port, i, "input") for i, port in enumerate(inputs)]
    engine.outputs = [name_of(port, i, "output") for i, port in enumerate(outputs)]
    shape = inputs[0].get_partial_shape() if inputs else None
    if shape is not None and shape.rank.is_static and len(shape) and shape[0].is_static:
        engine.fixed_batch = shape[0].get_length()
    return engine


def _in_file(engine: Engine, name: str, file: str) -> Engine:
    engine.file = file
    engine.name = f"{os.path.basename(file)} in {engine.name}"
    engine.measure = lambda copies: _memory.measured(name, file, copies)
    return engine


def _read_by_tinytorch(file: str) -> Engine:
    return _of_plan(Plan(file), file)


def _read_by_onnxruntime(file: str) -> Engine:
    onnxruntime = import_module("onnxruntime")
    if not os.path.exists(file):
        raise FileNotFoundError(f"there is no file {file}")
    return _of_session(onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"]))


def _read_by_openvino(file: str) -> Engine:
    openvino = import_module("openvino")
    if not os.path.exists(file):
        raise FileNotFoundError(f"there is no file {file}")
    # Other than f32 is what OpenVINO may choose on some processors, where nobody asks for it.
    compiled = openvino.compile_model(file, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    engine = _in_file(_of_compiled(compiled), "openvino", file)
    engine.reopen = lambda other, plain: None if plain else _read_by_openvino(other)
    return engine


#: How a file is read, by the name of the engine.
ENGINES: dict[str, Callable[[str], Engine]] = {
    "tinytorch": _read_by_tinytorch,
    "onnxruntime": _read_by_onnxruntime,
    "openvino": _read_by_openvino,
}
