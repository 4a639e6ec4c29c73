"""PyTorch on the CPU, without compiling: what a user gets who writes a model and calls it."""

import copy
from collections.abc import Callable
from typing import Any

from protocol import Case, Variant, Ways, serve

# The losses that are compared, as `LOSSES` of src/case.rs.
LOSSES = 5


def prepare(case: Case, threads: int) -> Ways:
    import torch

    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)
    kind = case.work["kind"]
    # Training wants gradients, and nothing else does.
    torch.set_grad_enabled(kind == "train")
    return {"product": products, "model": models, "decode": decode, "train": train}[kind](case)


def products(case: Case) -> Ways:
    def product() -> Variant:
        import torch

        work = case.work
        a, b = (torch.from_numpy(case.array(name)) for name in "ab")
        a = a.transpose(1, 2) if work["a_transposed"] else a
        b = b.transpose(1, 2) if work["b_transposed"] else b
        if work["batch"] == 1:
            a, b = a[0], b[0]
        out = torch.empty(*a.shape[:-1], b.shape[-1])
        return Variant(lambda: torch.matmul(a, b, out=out), lambda: out)

    return {"f32": product}


def models(case: Case) -> Ways:
    import torch

    from torch_models import Network

    model, x = Network(case).eval(), torch.from_numpy(case.array("input"))

    def variant(network: Any) -> Variant:
        return Variant(lambda: network(x), lambda: network(x))

    ways = with_int8(case, model, variant)
    if case.wants("int8 static"):
        ways["int8 static"] = lambda: variant(calibrated(case, model, x))
    return ways


def calibrated(case: Case, model: Any, x: Any) -> Any:
    """A model in int8 by FX graph mode, with the default settings for x86 and ranges from the case's data."""
    import torch
    from torch.ao.quantization import get_default_qconfig_mapping
    from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

    prepared = prepare_fx(copy.deepcopy(model), get_default_qconfig_mapping("x86"), (x,))
    for batch in torch.from_numpy(case.array("calibration")):
        prepared(batch)
    return convert_fx(prepared)


def decode(case: Case) -> Ways:
    import torch

    from torch_models import Gpt

    ids, position = torch.from_numpy(case.array("ids")), case.work["position"]

    def variant(network: Any) -> Variant:
        caches = network.caches()
        network(ids[:, :position], caches)

        def step() -> Any:
            return network(ids[:, position:], caches, position)

        return Variant(step, step)

    return with_int8(case, Gpt(case, case.work["gpt"]).eval(), variant)


def with_int8(case: Case, model: Any, variant: Callable[[Any], Variant]) -> Ways:
    """A model as it is, and with the weights of its linear layers in int8."""

    def int8() -> Variant:
        import torch

        layers = {torch.nn.Linear}
        quantize = torch.ao.quantization.quantize_dynamic
        return variant(quantize(copy.deepcopy(model), layers, dtype=torch.qint8))

    ways: Ways = {"f32": lambda: variant(model)}
    if case.wants("int8 dynamic"):
        ways["int8 dynamic"] = int8
    return ways


def train(case: Case) -> Ways:
    def steps() -> Variant:
        import torch

        from torch_models import Gpt, Network

        work = case.work
        model = Gpt(case, work["gpt"]) if work["gpt"] else Network(case)
        x, targets = (torch.from_numpy(case.array(name)) for name in ("input", "targets"))
        optimizer = torch.optim.AdamW(model.parameters(), work["lr"], fused=True)

        def step() -> float:
            optimizer.zero_grad()
            logits = model(x).flatten(0, -2)
            loss = torch.nn.functional.cross_entropy(logits, targets.flatten())
            loss.backward()
            optimizer.step()
            return float(loss.item())

        losses = [step() for _ in range(LOSSES)]
        return Variant(step, lambda: losses)

    return {"f32": steps}


if __name__ == "__main__":
    serve(["torch", "numpy"], prepare)
