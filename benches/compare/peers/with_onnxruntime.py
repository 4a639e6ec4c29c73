"""ONNX Runtime on the CPU."""

from typing import Any

from protocol import Case, Variant, Ways, serve


def prepare(case: Case, threads: int) -> Ways:
    import onnx_models

    def engine(model: bytes, inputs: dict[str, Any]) -> Variant:
        return variant(model, inputs, threads)

    if case.work["kind"] == "product":
        return onnx_models.product_ways(case, engine)
    return onnx_models.network_ways(case, engine)


def variant(model: bytes, inputs: dict[str, Any], threads: int) -> Variant:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return Variant(lambda: session.run(None, inputs), lambda: session.run(None, inputs)[0])


if __name__ == "__main__":
    serve(["onnxruntime", "onnx"], prepare)
