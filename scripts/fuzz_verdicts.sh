#!/usr/bin/env bash
# Audits models that are drawn at random, each as it is and with one fault drawn at random from the list in
# crates/tinytorch/tests/planted/fuzz, and prints how many sound ones failed and how many harmful faults were missed.
#
#   scripts/fuzz_verdicts.sh            # 500 models: some minutes
#   scripts/fuzz_verdicts.sh 2000 7     # so many, from another seed
set -euo pipefail
cd "$(dirname "$0")/.."
export TINYTORCH_FUZZ_MODELS=${1:-500} TINYTORCH_FUZZ_SEED=${2:-2}
exec cargo test --release --test planted_faults -- --ignored --nocapture --exact \
    planted::fuzz::many_random_faults_are_caught_and_placed_and_sound_models_pass
