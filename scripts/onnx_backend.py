"""Runs the cases of ONNX's own backend suite with `tinytorch run`, and prints a table by operator.

    cargo build --release
    python scripts/onnx_backend.py target/release/tinytorch [--kind node light] [--only Conv] [--listed] [--onnxruntime] [--show]
        [--out docs/onnx_operators.md]

A case passes if every output has the element type and shape of the reference, and values within the case's own
tolerance. It is refused if the program says that it cannot run the model (exit 1 or 2 with one line on stderr), wrong if
an output differs, and crashed otherwise. The exit code is 1 if a case is wrong or has crashed.

Needs `onnx` and `numpy`, and `onnxruntime` for its column.
"""

import argparse
import collections
import pathlib
import subprocess
import sys
import tempfile
import warnings

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.backend.test import loader

# What 99 % of the public models that were counted need, and what torch writes for transformers.
LISTED = """Add AveragePool BatchNormalization Cast Clip Concat ConstantOfShape Conv ConvTranspose DepthToSpace Div Dropout Exp
Flatten Gather Gemm GlobalAveragePool HardSigmoid Identity LRN LSTM Log LogSoftmax MatMul Max MaxPool Mul Pad Pow Reciprocal
ReduceMax ReduceMean Relu Reshape Resize Shape Sigmoid Slice Softmax Split Sqrt Squeeze Sub Sum Tanh Transpose Unsqueeze
Upsample If Neg Scan Range OneHot GreaterOrEqual GRU ConvInteger Not Size LayerNormalization Gelu Erf Where Expand Equal Trilu
ReduceSum ScatterND Einsum SkipLayerNormalization""".split()

HEAD = """# Which ONNX operators run

Written by `scripts/onnx_backend.py`: the cases ({kinds}) of the backend suite of onnx {version}, by the
operator of each case; `several` are graphs of more than one operator. A case passes if every output has the element type, the shape
and, within the case's own tolerance, the values of the reference; it is refused if `tinytorch run` says in one sentence that it
cannot. Sequences, texts and floats of 8 bits do not fit an .npz and are not tried. Of the operators that 99 % of the public models
that were counted need, and of those that torch writes for transformers, {passed} of {cases} cases that fit pass, {share:.1f} %. The
columns with `ort` are ONNX Runtime's, on the same machine.

"""

REFUSED = """
## What of these operators is refused
Random numbers are not part of ONNX: the masks of dropout in training are NumPy's own. The inputs of four additions are doubles that were
never set, some of them beyond what 32 bits hold.

| case | what `tinytorch run` says |
|---|---|
"""

KINDS = ["node", "simple", "pytorch-converted", "pytorch-operator", "light"]

NO_NPZ = "no .npz"

OUTCOMES = ["passed", NO_NPZ, "refused", "wrong", "crashed"]


def arrays(case, model):
    """The case's sets of inputs and outputs, by name; `None` for what an .npz does not hold."""
    graph = model.graph
    constants = {tensor.name for tensor in graph.initializer}
    names = [value.name for value in graph.input if value.name not in constants]
    if case.data_sets is not None:
        for inputs, outputs in case.data_sets:
            yield dict(zip(names, inputs)), list(outputs)
        return
    for folder in sorted(pathlib.Path(case.model_dir).glob("test_data_set_*")):
        def read(kind):
            files = sorted(folder.glob(f"{kind}_*.pb"), key=lambda file: int(file.stem.split("_")[1]))
            tensors = [onnx.TensorProto.FromString(file.read_bytes()) for file in files]
            return [numpy_helper.to_array(tensor) for tensor in tensors]
        yield dict(zip(names, read("input"))), read("output")


def fits(values):
    plain = "?bhilqBHILQefd"
    return all(isinstance(value, (np.ndarray, np.generic)) and np.asarray(value).dtype.char in plain for value in values)


def judge(program, folder, model, inputs, outputs, case):
    """What one run comes to, and why."""
    if not fits(inputs.values()) or not fits(outputs):
        return NO_NPZ, "values that an .npz does not hold"
    model_file, in_file, out_file = folder / "model.onnx", folder / "in.npz", folder / "out.npz"
    out_file.unlink(missing_ok=True)
    model_file.write_bytes(model.SerializeToString())
    np.savez(in_file, **inputs)
    command = [program, "run", model_file, "--input", in_file, "--out", out_file]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    if done.returncode in (1, 2) and done.stderr.count("\n") == 1:
        return "refused", done.stderr.strip()
    if done.returncode != 0:
        return "crashed", f"exit {done.returncode}: {done.stderr.strip()[:300]}"
    with np.load(out_file) as got:
        for value, want in zip(model.graph.output, outputs):
            have, want = got[value.name], np.asarray(want)
            if have.dtype != want.dtype or have.shape != want.shape:
                return "wrong", f"{value.name}: {have.dtype} {have.shape} for {want.dtype} {want.shape}"
            if not np.allclose(have, want, rtol=case.rtol, atol=case.atol, equal_nan=True):
                difference = np.abs(have.astype(np.float64) - want.astype(np.float64)).max()
                return "wrong", f"{value.name}: off by {difference}"
    return "passed", ""


def with_onnxruntime(model, inputs, outputs, case):
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        got = session.run(None, inputs)
    except Exception:  # It reports what it cannot run as many kinds of errors.
        return "refused"
    if not fits(got) or not fits(outputs):
        return "refused"
    for have, want in zip(got, outputs):
        have, want = np.asarray(have), np.asarray(want)
        if have.dtype != want.dtype or have.shape != want.shape:
            return "wrong"
        if have.dtype.kind in "fiub" and not np.allclose(have, want, rtol=case.rtol, atol=case.atol, equal_nan=True):
            return "wrong"
    return "passed"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--kind", nargs="+", default=KINDS, choices=KINDS, help="which cases, all if it is left out")
    parser.add_argument("--only", nargs="*", help="operators to run the cases of")
    parser.add_argument("--listed", action="store_true", help="only the operators that most models need")
    parser.add_argument("--onnxruntime", action="store_true", help="a column for ONNX Runtime")
    parser.add_argument("--out", type=pathlib.Path, help="a file to write the table to, with what it says")
    parser.add_argument("--show", action="store_true", help="why each case does not pass")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    table = collections.defaultdict(collections.Counter)
    total = collections.Counter()
    refused = []
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for case in (case for kind in arguments.kind for case in loader.load_model_tests(kind=kind)):
            model = case.model or onnx.load(pathlib.Path(case.model_dir) / "model.onnx")
            operators = sorted({node.op_type for node in model.graph.node if node.op_type != "Constant"})
            operator = operators[0] if len(operators) == 1 else "several"
            if "_expanded" in case.name or operator == "several":
                operator = "several"
            wanted = arguments.only or (LISTED if arguments.listed else None)
            if wanted and operator not in wanted:
                continue
            worst, why = "passed", ""
            beside = "passed"
            for inputs, outputs in arrays(case, model):
                outcome, reason = judge(arguments.program, folder, model, inputs, outputs, case)
                if OUTCOMES.index(outcome) > OUTCOMES.index(worst):
                    worst, why = outcome, reason
                if arguments.onnxruntime and beside == "passed":
                    beside = with_onnxruntime(model, inputs, outputs, case)
            table[operator][worst] += 1
            total[worst] += 1
            if worst == "refused" and operator in LISTED:
                refused.append((case.name, why.removeprefix("error: ").replace(f"{folder}/", "")))
            if arguments.onnxruntime:
                table[operator]["ort " + beside] += 1
                total["ort " + beside] += 1
            if arguments.show and worst != "passed":
                print(f"{worst} {case.name}: {why}", file=sys.stderr, flush=True)
    columns = OUTCOMES + (["ort passed", "ort wrong"] if arguments.onnxruntime else [])
    listed = collections.Counter()
    for operator in LISTED:
        listed.update(table.get(operator, {}))
    lines = ["| operator | cases | " + " | ".join(columns) + " |", "|---|" + "---|" * (len(columns) + 1)]
    for operator, counts in [*sorted(table.items()), ("those that most models need", listed), ("all", total)]:
        cases = sum(counts[outcome] for outcome in OUTCOMES)
        cells = " | ".join(str(counts[column] or "") for column in columns)
        lines.append(f"| {operator} | {cases} | {cells} |")
    print("\n".join(lines))
    if arguments.out:
        of_listed = sum(listed[outcome] for outcome in OUTCOMES)
        of_listed -= listed[NO_NPZ]
        share = 100 * listed["passed"] / max(of_listed, 1)
        arguments.out.write_text(HEAD.format(
            kinds=", ".join(arguments.kind), version=onnx.__version__, passed=listed["passed"], cases=of_listed, share=share,
        ) + "\n".join(lines) + "\n" + REFUSED + "".join(f"| `{name}` | {why} |\n" for name, why in refused))
    return 1 if total["wrong"] or total["crashed"] else 0


if __name__ == "__main__":
    sys.exit(main())
