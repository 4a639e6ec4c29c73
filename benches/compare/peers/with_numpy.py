"""NumPy, whose products are those of the OpenBLAS that it was built with."""

from types import ModuleType
from typing import Any

from protocol import Case, Variant, Ways, serve


def prepare(case: Case, threads: int) -> Ways:
    def product() -> Variant:
        import numpy

        work = case.work
        a, b = case.array("a"), case.array("b")
        a = a.transpose(0, 2, 1) if work["a_transposed"] else a
        b = b.transpose(0, 2, 1) if work["b_transposed"] else b
        if work["batch"] == 1:
            a, b = a[0], b[0]
        out: Any = numpy.empty((*a.shape[:-1], b.shape[-1]), numpy.float32)
        return Variant(lambda: numpy.matmul(a, b, out=out), lambda: out)

    return {"f32": product}


def blas(engine: ModuleType) -> str:
    """The library that multiplies."""
    built = engine.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return f" with {built['name']} {built['version']}"


if __name__ == "__main__":
    serve(["numpy"], prepare, blas)
