"""OpenVINO on the CPU. Its int8 models are those that ONNX Runtime's tools make."""

from typing import Any

from protocol import Case, Variant, Ways, serve


def prepare(case: Case, threads: int) -> Ways:
    import onnx_models

    def engine(model: bytes, inputs: dict[str, Any]) -> Variant:
        return variant(model, inputs, threads)

    if case.work["kind"] == "product":
        ways = onnx_models.product_ways(case, engine)
        return {name: make for name, make in ways.items() if not name.startswith("int8")}
    return onnx_models.network_ways(case, engine)


def variant(model: bytes, inputs: dict[str, Any], threads: int) -> Variant:
    import openvino

    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
        # Where the CPU has bfloat16, that would be the default.
        "INFERENCE_PRECISION_HINT": "f32",
    }
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(model), "CPU", settings)
    request = compiled.create_infer_request()
    for name, array in inputs.items():
        request.set_tensor(name, openvino.Tensor(array, shared_memory=True))
    return Variant(request.infer, lambda: request.get_output_tensor(0).data, held=inputs)


if __name__ == "__main__":
    serve(["openvino", "onnx"], prepare)
