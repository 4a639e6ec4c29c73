#!/usr/bin/env bash
# Builds the Python package, installs it into a fresh virtual environment, and runs its tests, mypy and stubtest there.
#
# What `cargo test --release` has built is not built again: the same target folder, profile and features. PYTHON names the
# interpreter, PEERS what else is installed for tests that need it, which are skipped by name without it; arguments go to
# pytest. It exits with 75 if what it needs cannot be fetched.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
package=$root/crates/tinytorch-python
target=${CARGO_TARGET_DIR:-$root/target}
venv=$target/python-venv
export MYPY_CACHE_DIR=$target/mypy

"${PYTHON:-python3}" -m venv --clear "$venv"
read -ra peers <<< "${PEERS-onnx onnxruntime}"
"$venv/bin/pip" install --quiet "maturin>=1.9,<2" "numpy>=1.22" "pytest>=7" "mypy>=1.8" "${peers[@]}" || exit 75

rm -rf "$target/wheels"
# Unset: a variable for other builds would make others of the same crates.
env -u RUSTFLAGS "$venv/bin/maturin" build --quiet --locked --release --features as-tested --interpreter "$venv/bin/python" \
    --manifest-path "$package/Cargo.toml" --target-dir "$target" --out "$target/wheels"
"$venv/bin/pip" install --quiet --no-deps "$target"/wheels/tinytorch-*.whl

# Not where the package's sources lie, so that what is installed is what is tested.
cd "$package/tests"
"$venv/bin/python" -m pytest -q -p no:cacheprovider "$@"
"$venv/bin/python" -m mypy --strict -p tinytorch
"$venv/bin/python" -m mypy.stubtest --mypy-config-file "$package/pyproject.toml" tinytorch._tinytorch
