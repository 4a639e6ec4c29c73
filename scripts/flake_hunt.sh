#!/usr/bin/env bash
# Audits sound models again and again, at several numbers of threads and beside other work, and compares what every gate says: a
# verdict that changes from run to run is worth nothing. Prints one line for each model and number of threads, and every gate that
# ever answered otherwise than in the first run; exits with 1 if there is one.
#
#   scripts/flake_hunt.sh                                    # 300 audits of each reference at 1, 2, 8 and 64 threads: hours
#   RUNS=3 THREADS="1 2" MODELS=digits-mlp scripts/flake_hunt.sh
#   LOAD=4 scripts/flake_hunt.sh                             # beside four busy processes
#   AUDIT_ARGS="" scripts/flake_hunt.sh                      # with the timing gate
#   TINYTORCH=/usr/local/bin/tinytorch scripts/flake_hunt.sh # this program, instead of one that is built first
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
runs=${RUNS:-300}
threads=${THREADS:-1 2 8 64}
models=${MODELS:-digits-mlp digits-cnn talks-gpt}
load=${LOAD:-0}
read -r -a audit_args <<< "${AUDIT_ARGS---no-latency}"

if [ -z "${TINYTORCH:-}" ]; then
    cargo build --quiet --release --manifest-path "$root/Cargo.toml" -p tinytorch-cli
fi
tinytorch=${TINYTORCH:-${CARGO_TARGET_DIR:-$root/target}/release/tinytorch}

folder=$(mktemp -d)
busy=()
cleanup() {
    for process in "${busy[@]}"; do kill "$process" 2> /dev/null || true; done
    rm -rf "$folder"
}
trap cleanup EXIT
for ((i = 0; i < load; i++)); do
    (while :; do :; done) &
    busy+=($!)
done

# What every gate answers, a line each.
answers() {
    grep -oE '"(id|result)": "[^"]*"' "$1/report.json" | paste -sd' \n' - | sed 's/"//g'
}

flakes=0
for model in $models; do
    case $model in
        digits-mlp) data=digits epochs=30 ;;
        digits-cnn) data=digits epochs=12 ;;
        *) data=tinytalks epochs=8 ;;
    esac
    float=$folder/$model.safetensors
    int8=$folder/$model.int8.safetensors
    "$tinytorch" train --model "$model" --data "$data" --epochs "$epochs" --out "$float" > /dev/null
    "$tinytorch" quantize "$float" --calibrate "$data" --out "$int8" > /dev/null
    first=
    for count in $threads; do
        other=0 failed=0
        for ((run = 1; run <= runs; run++)); do
            out=$folder/out
            RAYON_NUM_THREADS=$count "$tinytorch" audit "$float" "$int8" --data "$data" \
                "${audit_args[@]}" --out "$out" > /dev/null || failed=$((failed + 1))
            answers "$out" > "$folder/now"
            if [ -z "$first" ]; then
                first=$folder/first-$model
                cp "$folder/now" "$first"
            elif ! diff "$first" "$folder/now" > "$folder/changes"; then
                other=$((other + 1))
                echo "$model, $count threads, run $run:"
                cat "$folder/changes"
                sed -n 's/^> id: \([a-z0-9_]*\).*/\1/p' "$folder/changes" >> "$folder/unsteady"
            fi
            rm -rf "$out"
        done
        echo "$model, $count threads: $runs audits, $failed not passed, $other unlike the first"
        flakes=$((flakes + other))
    done
done
if [ "$flakes" -eq 0 ]; then
    echo "every gate answered alike in every run"
else
    echo "gates that answered otherwise, and how often:"
    sort "$folder/unsteady" | uniq -c
    exit 1
fi
