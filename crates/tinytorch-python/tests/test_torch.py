"""Modules of torch as models of tinytorch, and as black boxes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinytorch as tt

torch = pytest.importorskip("torch", reason="torch is not installed")


@pytest.fixture(scope="module")
def module() -> Any:
    torch.manual_seed(0)
    layers = [torch.nn.Conv2d(1, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(288, 10)]
    return torch.nn.Sequential(*layers).eval()


def test_the_model_gives_what_the_module_gives(module: Any) -> None:
    model = tt.from_torch(module, torch.rand(2, 1, 8, 8))
    x = torch.rand(33, 1, 8, 8)
    with torch.inference_mode():
        want = module(x).numpy()
    np.testing.assert_allclose(tt.Plan(model).run(x), want, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(tt.Plan(model).run({"input": x.numpy()}), want, rtol=1e-3, atol=1e-4)
    assert torch.from_dlpack(tt.Plan(model).run(x)).shape == (33, 10)


def test_a_loader_calibrates_and_a_module_judges(module: Any) -> None:
    x = torch.rand(256, 1, 8, 8)
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, torch.zeros(256)), batch_size=32)
    report = tt.quantize(tt.from_torch(module, x[:1]), loader)
    judges = torch.rand(400, 1, 8, 8)
    with torch.inference_mode():
        labels = module(judges).argmax(dim=1)
    verdict = tt.audit(module, report.model, (judges, labels), latency=False, memory=False, max_error=0.05)
    assert verdict.gate("output_error").result == "pass", verdict.gate("output_error")
    assert verdict.gate("structure").result == "n/a"


def test_what_does_not_fit_is_refused(module: Any) -> None:
    training = torch.nn.Linear(3, 3)
    with pytest.raises(ValueError, match="eval"):
        tt.from_torch(training, torch.rand(1, 3))
    with pytest.raises(ValueError, match="eval"):
        tt.audit(training, module, np.ones((40, 3), np.float32))
    with pytest.raises(TypeError, match="Module"):
        tt.from_torch(3, torch.rand(1, 3))
