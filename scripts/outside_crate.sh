#!/usr/bin/env bash
# Makes a package of its own of each example that users would begin with, outside of the workspace and with `tinytorch` as its only
# dependency, and runs it. Arguments name other examples: scripts/outside_crate.sh own_op
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$root/target}

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/src"
# The versions that the workspace was tested with, so that nothing is fetched.
cp "$root/Cargo.lock" "$folder/"
cat > "$folder/Cargo.toml" <<TOML
[package]
name = "outside"
version = "0.0.0"
edition = "2024"

[dependencies]
tinytorch = { path = "$root/crates/tinytorch" }

[workspace]
TOML

for example in "${@:-own_model}"; do
    cp "$root/crates/tinytorch/examples/$example.rs" "$folder/src/main.rs"
    cargo run --quiet --release --manifest-path "$folder/Cargo.toml"
done
