"""The command in the wheel, what files hold, and what models cost."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import sysconfig
import time
from pathlib import Path
from typing import Any, Callable

import numpy as np
import pytest

import tinytorch as tt


def run(*args: Any, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "tinytorch", *map(str, args)], capture_output=True, text=True, check=False, **options)


def test_the_command_is_installed_and_answers() -> None:
    script = Path(sysconfig.get_path("scripts")) / "tinytorch"
    told = subprocess.run([str(script), "--version"], capture_output=True, text=True, check=True).stdout
    assert told.startswith(f"tinytorch {tt.__version__}") and told == run("--version").stdout
    wrong = run("quantise")
    assert wrong.returncode == 2 and wrong.stderr.count("\n") == 1 and "Traceback" not in wrong.stderr


def test_the_command_gives_what_the_function_gives(digits: Path, tmp_path: Path) -> None:
    by_command, by_function = tmp_path / "command.safetensors", tmp_path / "function.safetensors"
    assert run("quantize", digits, "--calibrate", "digits", "--out", by_command).returncode == 0
    assert tt.quantize(digits, "digits", out=by_function)
    assert by_command.read_bytes() == by_function.read_bytes()
    printed = json.loads(run("inspect", by_command, "--json").stdout)
    assert printed == tt.inspect(by_command)


def test_an_audit_of_the_command_measures_memory_in_this_interpreter(digits: Path, tmp_path: Path) -> None:
    int8 = tmp_path / "int8.safetensors"
    assert tt.quantize(digits, "digits", out=int8)
    audit = ["audit", digits, int8, "--data", "digits", "--no-latency", "--max-error", "2%", "--json", "--out", tmp_path / "report"]
    done = run(*audit)
    gates = {gate["id"]: gate for gate in json.loads(done.stdout)["models"][0]["gates"]}
    assert gates["process_memory"]["result"] == "pass" and gates["no_f32_copy"]["result"] == "pass"
    assert done.returncode in (0, 1)


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent as POSIX has them")
def test_ctrl_c_ends_the_command(tmp_path: Path) -> None:
    train = ["train", "--model", "digits-cnn", "--data", "digits", "--epochs", "100000", "--out", str(tmp_path / "m.safetensors")]
    with subprocess.Popen([sys.executable, "-m", "tinytorch", *train], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        child.send_signal(signal.SIGINT)
        sent = time.monotonic()
        child.communicate(timeout=60)
        assert child.returncode == -signal.SIGINT and time.monotonic() - sent < 60
    assert not list(tmp_path.iterdir())


def test_what_a_file_holds(make_mlp: Callable[..., Any], tmp_path: Path) -> None:
    model = make_mlp(6, 4, 3)
    found = tt.inspect(model.path)
    names = {f"layers.{i}.{part}" for i in (0, 1) for part in ("weight", "bias")}
    assert {tensor["name"] for tensor in found["tensors"]} == names
    assert found["totals"]["values"] == 6 * 4 + 4 + 4 * 3 + 3 and found["bytes"] == model.path.stat().st_size
    (tmp_path / "noise").write_bytes(b"\xff" * 100)
    for wrong, kind in ((tmp_path / "noise", ValueError), (tmp_path / "none", FileNotFoundError)):
        with pytest.raises(kind):
            tt.inspect(wrong)


def test_what_a_model_costs(make_mlp: Callable[..., Any]) -> None:
    model = make_mlp(6, 4, 3)
    costs = tt.profile(model.path, batch=5)
    assert costs.flops >= 2 * 5 * (6 * 4 + 4 * 3) and costs.seconds > 0
    assert {"layers.0.weight", "layers.1.weight"} <= {layer["name"] for layer in costs.layers}
    assert "layers.0.weight" in str(costs) and json.loads(costs.to_json()) == costs.data
    with pytest.raises(ValueError, match="nope"):
        tt.profile(model.path, shapes={"nope": [1, 2]})
    opened = tt.open(model.path)
    assert dict(opened.parameters())["layers.0.weight"] == [4, 6] and opened.kind == "mlp" and opened.file == model.path
    np.testing.assert_array_equal(tt.Plan(opened).run(np.ones((1, 6), np.float32)), tt.Plan(model.path).run(np.ones((1, 6), np.float32)))
