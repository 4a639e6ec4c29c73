"""Ctrl-C: long work ends, raises KeyboardInterrupt, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any, Callable

import pytest

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals are sent as POSIX has them")

# Each would go on for minutes.
WORK = {
    "trying layers": "tt.quantize(model, x, max_error=1e-9, out=out, samples=len(x))",
    "calibrating": "tt.quantize(model, x, out=out, samples=len(x))",
    "calibrating arrays": "tt.calibrate(model, x)",
    "one long pass": "tt.calibrate(model, [x])",
    "judging": "tt.audit(model, int8, x, memory=False)",
    "judging a plan": "tt.audit(*[tt.Plan(path).run for path in (model, int8)], x)",
}


@pytest.mark.parametrize("what", WORK)
def test_ctrl_c_stops_long_work_and_leaves_nothing(what: str, make_mlp: Callable[..., Any], tmp_path: Path) -> None:
    model = make_mlp(512, *[512] * 40, 10).path
    program = f"""
        import signal, threading
        import numpy as np, tinytorch as tt
        # What a shell runs in the background begins with the signal ignored.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        model, int8, out = {str(model)!r}, {str(tmp_path / "int8.safetensors")!r}, {str(tmp_path / "out.safetensors")!r}
        x = np.random.default_rng(0).uniform(-1, 1, (1 << 17, 512)).astype(np.float32)
        if "int8" in {WORK[what]!r}:
            tt.quantize(model, x[:64], out=int8)
        threading.Timer(0.5, lambda: print("begun", flush=True)).start()
        try:
            {WORK[what]}
            print("done", flush=True)
        except KeyboardInterrupt:
            print("stopped", flush=True)
    """
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline().strip() == "begun"
        before = {path.name for path in tmp_path.iterdir()}
        child.send_signal(signal.SIGINT)
        assert child.stdout.readline().strip() == "stopped"
    assert child.returncode == 0
    assert {path.name for path in tmp_path.iterdir()} == before <= {model.name, "int8.safetensors"}
