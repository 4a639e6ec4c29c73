"""A model in another engine, for whoever writes arrays to this process: a line of JSON that says their types and shapes, then
their bytes. What the model gives comes back in the same form, or a line that says what is wrong."""

import json
import sys


def onnxruntime(file, alone, plain):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    if plain:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    if alone:
        # Each session would start threads of its own, whose stacks are no model's.
        options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    inputs, outputs = session.get_inputs(), [value.name for value in session.get_outputs()]
    first = inputs[0].shape[0] if inputs and inputs[0].shape else None
    told = {"inputs": [value.name for value in inputs], "outputs": outputs, "batch": first if isinstance(first, int) else None}
    return told, lambda arrays: session.run(None, dict(zip(told["inputs"], arrays))), f"ONNX Runtime {onnxruntime.__version__}"


def openvino(file, _alone, _plain):
    import openvino

    model = openvino.compile_model(file, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    name = lambda port: port.get_any_name() if port.get_names() else ""
    first = model.inputs[0].get_partial_shape() if model.inputs else []
    batch = first[0].get_length() if len(first) and first[0].is_static else None
    told = {"inputs": [name(port) for port in model.inputs], "outputs": [name(port) for port in model.outputs], "batch": batch}

    def run(arrays):
        found = model(arrays)
        return [found[port] for port in model.outputs]

    return told, run, f"OpenVINO {openvino.__version__.split('-')[0]}"


ENGINES = {"onnxruntime": onnxruntime, "openvino": openvino}


def resident():
    with open("/proc/self/status", encoding="ascii") as status:
        return int(next(line for line in status if line.startswith("VmRSS:")).split()[1]) * 1024


def say(told, stream):
    stream.write((json.dumps(told) + "\n").encode())
    stream.flush()


def answer(run, stream, out):
    import numpy

    while line := stream.readline():
        arrays = []
        for told in json.loads(line):
            dtype = numpy.dtype(told["dtype"])
            count = int(numpy.prod(told["shape"], dtype=numpy.int64))
            arrays.append(numpy.frombuffer(stream.read(count * dtype.itemsize), dtype).reshape(told["shape"]))
        try:
            outputs = [numpy.ascontiguousarray(output) for output in run(arrays)]
        except Exception as error:
            say({"error": " ".join(str(error).split())}, out)
            continue
        say([{"dtype": output.dtype.name, "shape": output.shape} for output in outputs], out)
        for output in outputs:
            out.write(output.tobytes())
        out.flush()


def main(engine, file, how):
    out = sys.stdout.buffer
    # What an engine prints is no answer.
    sys.stdout = sys.stderr
    try:
        load = ENGINES[engine]
        is_measured = how.isdigit()
        told, run, name = load(file, is_measured, how == "plain")
        if not is_measured:
            say(told, out)
            return answer(run, sys.stdin.buffer, out)
        # What a process has once, however many models it holds, is there with the first.
        held, before = [run], resident()
        held += [load(file, True, False) for _ in range(int(how))]
        say({"bytes": max(resident() - before, 0), "name": name}, out)
    except ModuleNotFoundError as error:
        say({"error": f"{error.name} is not installed for {sys.executable}"}, out)
    except Exception as error:
        say({"error": " ".join(str(error).split())}, out)


main(*sys.argv[1:])
