"""The process: its threads, forks of it, and memory that stays flat."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Callable

import numpy as np
import pytest

import tinytorch as tt

HAS_PROC = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system does not tell what a process holds")


def resident() -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024


@HAS_PROC
def test_memory_is_flat_over_10000_runs_and_1000_quantizations(make_mlp: Callable[..., Any]) -> None:
    model = tt.open(make_mlp(64, 64, 10).path)
    plan, x = tt.Plan(model), np.random.default_rng(0).standard_normal((64, 64)).astype(np.float32)
    for work, times in ((lambda: plan.run(x), 10_000), (lambda: tt.quantize(model, x), 1_000)):
        for _ in range(times // 10):
            work()
        before = resident()
        for _ in range(times):
            work()
        # A leak of one output would be 25 MB, of one int8 model 6 MB.
        assert resident() - before < 1 << 20


@HAS_PROC
def test_a_run_adds_its_output_and_nothing_else(make_mlp: Callable[..., Any]) -> None:
    # In a process that has freed nothing large before, whose memory would be used again.
    program = f'''
from pathlib import Path
import numpy as np
import tinytorch as tt

def resident():
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024

plan, x = tt.Plan({str(make_mlp(8, 512).path)!r}), np.ones((20_000, 8), np.float32)
# What a first run needs once: its working memory.
plan.run(x)
before = resident()
y = plan.run(x)
print(y.nbytes, resident() - before)
'''
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    output, grown = map(int, done.stdout.split())
    assert output == 20_000 * 512 * 4
    assert abs(grown - output) < 1 << 20, (grown, output)


@HAS_PROC
def test_samples_that_judge_are_held_once(make_mlp: Callable[..., Any]) -> None:
    mlp = make_mlp(500, 8, 4)
    int8 = mlp.path.with_name("int8.safetensors")
    tt.quantize(mlp.path, np.random.default_rng(1).random((64, 500), np.float32), out=int8)
    program = f'''
import resource
import numpy as np
import tinytorch as tt

x = np.random.default_rng(0).random((100_000, 500), np.float32)
plans = [tt.Plan(path) for path in ({str(mlp.path)!r}, {str(int8)!r})]
tt.audit({str(mlp.path)!r}, {str(int8)!r}, x[:100], latency=False, memory=False)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for models in (({str(mlp.path)!r}, {str(int8)!r}), [plan.run for plan in plans]):
    tt.audit(*models, x, latency=False, memory=False)
print(x.nbytes, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
'''
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    array, grown = map(int, done.stdout.split())
    # What both models answer to each sample is kept.
    assert grown < array // 4, (grown, array)


@HAS_PROC
@pytest.mark.parametrize("work", ["tt.quantize(model, x)", "tt.calibrate(model, x)", "tt.calibrate(model, {'input': x})"])
def test_samples_that_calibrate_are_read_where_they_lie(make_mlp: Callable[..., Any], work: str) -> None:
    program = f'''
import resource
import numpy as np
import tinytorch as tt

model = {str(make_mlp(500, 8, 4).path)!r}
x = np.random.default_rng(0).random((100_000, 500), np.float32)
tt.quantize(model, x[:512])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
{work}
print(x.nbytes, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
'''
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    array, grown = map(int, done.stdout.split())
    # A digest of each sample is kept, so that it does not judge.
    assert grown < array // 10, (grown, array)


def test_other_threads_go_on_during_long_work(make_mlp: Callable[..., Any]) -> None:
    plan = tt.Plan(make_mlp(512, 2048, 2048, 2048, 10).path)
    x = np.ones((4096, 512), np.float32)
    plan.run(x)
    started, steps = threading.Event(), 0

    def work() -> None:
        started.set()
        for _ in range(5):
            plan.run(x)

    worker = threading.Thread(target=work)
    worker.start()
    started.wait()
    while worker.is_alive():
        steps += 1
    # With the interpreter's lock held, this thread would have had a turn between runs only.
    assert steps > 1000


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_fork_has_threads_of_its_own(make_mlp: Callable[..., Any]) -> None:
    model = make_mlp(256, 1024, 1024, 10)
    plan, x = tt.Plan(model.path), np.random.default_rng(0).standard_normal((256, 256)).astype(np.float32)
    y = plan.run(x)
    # Both a plan that the parent has made and one of its own, each with work for several threads.
    child = os.fork()
    if child == 0:
        try:
            same = np.array_equal(plan.run(x), y) and np.array_equal(tt.Plan(model.path).run(x), y)
            os._exit(0 if same else 3)
        except BaseException:
            os._exit(4)
    _, status = os.waitpid(child, 0)
    assert os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0
    np.testing.assert_array_equal(plan.run(x), y)


@pytest.mark.parametrize("threads", ["1", "3"])
def test_the_number_of_threads_changes_no_bit(make_mlp: Callable[..., Any], threads: str) -> None:
    model = make_mlp(256, 512, 10)
    x = np.random.default_rng(0).standard_normal((128, 256)).astype(np.float32)
    np.save(model.path.with_name("x.npy"), x)
    program = "import sys, numpy, tinytorch as tt; numpy.save(sys.argv[3], tt.Plan(sys.argv[1]).run(numpy.load(sys.argv[2])))"
    files = [str(model.path), str(model.path.with_name("x.npy")), str(model.path.with_name("y.npy"))]
    environment = {**os.environ, "TINYTORCH_NUM_THREADS": threads}
    subprocess.run([sys.executable, "-c", program, *files], check=True, env=environment)
    np.testing.assert_array_equal(np.load(files[2]), tt.Plan(model.path).run(x))


@pytest.mark.parametrize("threads", ["0", "many", "-1", ""])
def test_a_number_of_threads_that_is_none_is_refused(threads: str) -> None:
    environment = {**os.environ, "TINYTORCH_NUM_THREADS": threads}
    done = subprocess.run([sys.executable, "-c", "import tinytorch"], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "TINYTORCH_NUM_THREADS" in done.stderr.splitlines()[-1]
