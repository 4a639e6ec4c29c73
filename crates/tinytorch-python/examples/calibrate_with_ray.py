"""Calibrates a model over Ray Data on two workers, audits it on a third task, and compares it with one process.

    python calibrate_with_ray.py model.safetensors samples.npy out.safetensors
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import ray

import tinytorch as tt

WORKERS = 2
BATCH = 32


@ray.remote
def calibrate(model: str, shard: Any) -> tt.Prepared:
    """What one worker finds in its part of the data."""
    return tt.calibrate(model, (batch["data"] for batch in shard.iter_batches(batch_size=BATCH)))


@ray.remote
def audit(float_model: str, int8_model: str, x: Any) -> tuple[bool, str]:
    """A verdict, from wherever there is room for it: by the answers of the float model, without labels."""
    verdict = tt.audit(float_model, int8_model, x, max_error=0.05, latency=False)
    return bool(verdict), str(verdict)


def quantize(model: str, samples: Any, out: str) -> tt.QuantizeReport:
    """The int8 model of what all workers have found together."""
    shards = ray.data.from_numpy(samples).split_at_indices([len(samples) // WORKERS])
    first, *others = ray.get([calibrate.remote(model, shard) for shard in shards])
    for other in others:
        first = first.merge(other)
    return tt.apply(model, first, out=out)


def main(model: str, samples_file: str, out: str) -> None:
    samples = np.load(samples_file)
    calibration, held_out = samples[: len(samples) // 2], samples[len(samples) // 2 :]
    ray.init(num_cpus=WORKERS, include_dashboard=False, log_to_driver=False)
    print(quantize(model, calibration, out))
    passed, verdict = ray.get(audit.remote(model, out, held_out))
    print(verdict)
    tt.apply(model, tt.calibrate(model, calibration), out=f"{out}.alone.safetensors")
    with open(out, "rb") as by_workers, open(f"{out}.alone.safetensors", "rb") as alone:
        print("equal to one process" if by_workers.read() == alone.read() else "not equal to one process")
    ray.shutdown()
    sys.exit(0 if passed else 1)


if __name__ == "__main__":
    main(*sys.argv[1:4])
