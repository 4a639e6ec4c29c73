"""Writes seeds of the target `onnx`: for each operator that the reader knows the smallest case of ONNX's own backend suite.

    python fuzz/onnx_seeds.py

Inputs behind the first that are small become constants, since sizes, axes and weights mostly are. Needs `onnx` and `numpy`.
"""

import pathlib
import re
import warnings

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.backend.test import loader

ROOT = pathlib.Path(__file__).parent
OPERATORS = ROOT.parent / "crates/tinytorch-onnx/src/operators/mod.rs"
LARGEST = 700


def known():
    """The names of operators in the reader's tables, and of those that hold graphs."""
    return {*re.findall(r'^    \("(\w+)", ', OPERATORS.read_text(), re.M), "If", "Loop", "Scan"}


def with_constants(model, inputs):
    """The model with the values of all inputs but the first that are small."""
    graph = model.graph
    for value, array in list(zip(graph.input, inputs))[1:]:
        if isinstance(array, np.ndarray) and array.size <= 64 and array.dtype.kind in "fiub":
            graph.initializer.append(numpy_helper.from_array(array, value.name))
            graph.input.remove(value)
    model.ClearField("producer_name")
    return model.SerializeToString()


def main():
    warnings.filterwarnings("ignore")
    smallest = {}
    wanted = known()
    for case in loader.load_model_tests(kind="node"):
        if case.model is None or not case.data_sets:
            continue
        model = onnx.ModelProto.FromString(case.model.SerializeToString())
        operator = model.graph.node[0].op_type
        if len(model.graph.node) > 1 or operator not in wanted:
            continue
        try:
            bytes = with_constants(model, case.data_sets[0][0])
        except (TypeError, ValueError):  # Sequences and texts.
            continue
        if len(bytes) <= LARGEST and len(bytes) < len(smallest.get(operator, b" " * (LARGEST + 1))):
            smallest[operator] = bytes
    for operator, bytes in smallest.items():
        (ROOT / "seeds/onnx" / operator).write_bytes(bytes)
    print(f"{len(smallest)} of {len(wanted)} operators; without: {', '.join(sorted(wanted - smallest.keys()))}")


if __name__ == "__main__":
    main()
