"""What the documents show is run: the README's examples, the notebook, the examples."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinytorch as tt

PACKAGE = Path(__file__).parents[1]


def examples() -> list[tuple[str, str]]:
    """The README's Python, with the word that says what it needs."""
    text = (PACKAGE / "README.md").read_text(encoding="utf-8")
    return re.findall(r"^```python ?(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def clusters(rows: int, seed: int) -> tuple[Any, Any]:
    """Samples of three classes that a small model tells apart."""
    rng = np.random.default_rng(seed)
    centers = np.random.default_rng(0).standard_normal((3, 64))
    y = rng.integers(0, 3, rows)
    return (centers[y] + rng.standard_normal((rows, 64))).astype(np.float32), y


def torch_names() -> dict[str, Any]:
    """A module that was trained, a loader, and samples to judge by."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    torch.manual_seed(0)
    x, y = (torch.from_numpy(values) for values in clusters(512, 1))
    module = torch.nn.Sequential(torch.nn.Linear(64, 1024), torch.nn.ReLU(), torch.nn.Linear(1024, 3))
    optimizer = torch.optim.Adam(module.parameters(), 1e-2)
    for _ in range(30):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(module(x), y).backward()
        optimizer.step()
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=64)
    x_test, y_test = clusters(600, 2)
    return {"module": module.eval(), "x": x, "loader": loader, "x_test": x_test, "y_test": y_test}


def onnx_names(folder: Path) -> dict[str, Any]:
    """`model.onnx` and samples for it: the module above, exported."""
    names = torch_names()
    torch = sys.modules["torch"]
    options = {"input_names": ["input"], "dynamic_axes": {"input": {0: "batch"}}, "dynamo": False}
    torch.onnx.export(names["module"], (names["x"][:1],), str(folder / "model.onnx"), **options)
    batches = [batch.numpy() for batch, _ in names["loader"]]
    return {"batches": batches, "x": names["x_test"], "y": names["y_test"]}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("place", range(len(examples())), ids=[needs or "numpy" for needs, _ in examples()])
def test_an_example_of_the_readme(place: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needs, code = examples()[place]
    monkeypatch.chdir(tmp_path)
    names = {"torch": torch_names, "onnx": lambda: onnx_names(tmp_path), "": dict}[needs]()
    exec(code, names)
    # Timing may fail where other work disturbs it; what is measured is not what is tested here.
    wrong = [gate for gate in names["verdict"].gates if not gate and gate.id != "latency"]
    assert not wrong, wrong


def test_the_notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cells = json.loads((PACKAGE / "examples" / "quickstart.ipynb").read_text(encoding="utf-8"))["cells"]
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for cell in cells:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)
    assert names["report"] and names["verdict"], names["verdict"]
    assert "<table>" in names["verdict"]._repr_html_() and names["scores"].shape == (1, 10)


def test_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    spec = importlib.util.spec_from_file_location("measure", PACKAGE / "examples" / "measure.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.main()
    printed = capsys.readouterr().out
    in_readme = (PACKAGE / "README.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1] for line in printed.splitlines() if line.startswith("|")]
    assert len(rows) == 6 and all(f"|{row}|" in in_readme for row in rows if "---" not in row)


def test_workers_of_ray_find_what_one_process_finds(make_mlp: Any, tmp_path: Path) -> None:
    pytest.importorskip("ray.data", reason="ray[data] is not installed")
    samples = np.random.default_rng(0).standard_normal((256, 24)).astype(np.float32)
    np.save(tmp_path / "samples.npy", samples)
    model, out = make_mlp(24, 64, 10), tmp_path / "int8.safetensors"
    example = PACKAGE / "examples" / "calibrate_with_ray.py"
    command = [sys.executable, str(example), str(model.path), str(tmp_path / "samples.npy"), str(out)]
    environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert "equal to one process" in done.stdout.splitlines(), done.stdout + done.stderr
    assert tt.open(out).is_int8
