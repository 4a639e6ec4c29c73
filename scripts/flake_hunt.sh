#!/usr/bin/env bash
# Audits sound models again and again, at several numbers of threads and beside other work, and compares what every gate says: a
# verdict that changes from run to run is worth nothing. Prints after each turn how many audits of a model at a number of threads are
# done, and every gate that ever answered otherwise than in the first run; exits with 1 if there is one.
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
TURN=25
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

prepare() {
    local model=$1 epochs=$2
    "$tinytorch" train --model "$model" --data "$(data_of "$model")" --epochs "$epochs" --out "$folder/$model.safetensors" > /dev/null
    "$tinytorch" quantize "$folder/$model.safetensors" --calibrate "$(data_of "$model")" --out "$folder/$model.int8.safetensors" > /dev/null
}

data_of() {
    case $1 in
        digits-*) echo digits ;;
        *) echo tinytalks ;;
    esac
}

# Audits a model once, and compares with its first audit.
hunt() {
    local model=$1 count=$2 run=$3 out=$folder/out first=$folder/first-$1
    audits[$model $count]=$run
    RAYON_NUM_THREADS=$count "$tinytorch" audit "$folder/$model.safetensors" "$folder/$model.int8.safetensors" \
        --data "$(data_of "$model")" "${audit_args[@]}" --out "$out" > /dev/null || failed[$model $count]=$((${failed[$model $count]:-0} + 1))
    answers "$out" > "$folder/now"
    [ -e "$first" ] || cp "$folder/now" "$first"
    if ! diff "$first" "$folder/now" > "$folder/changes"; then
        unlike[$model $count]=$((${unlike[$model $count]:-0} + 1))
        flakes=$((flakes + 1))
        echo "$model, $count threads, run $run:"
        cat "$folder/changes"
        sed -n 's/^> id: \([a-z0-9_]*\).*/\1/p' "$folder/changes" >> "$folder/unsteady"
    fi
    rm -rf "$out"
}

for model in $models; do
    case $model in
        digits-mlp) prepare "$model" 30 ;;
        digits-cnn) prepare "$model" 12 ;;
        *) prepare "$model" 8 ;;
    esac
done

# In turns, so that a hunt that is cut short has still tried every model at every number of threads.
declare -A audits failed unlike
flakes=0
for ((done = 0; done < runs; done += TURN)); do
    for model in $models; do
        for count in $threads; do
            for ((run = done + 1; run <= done + TURN && run <= runs; run++)); do hunt "$model" "$count" "$run"; done
            echo "$model, $count threads: ${audits[$model $count]} audits, ${failed[$model $count]:-0} not passed," \
                "${unlike[$model $count]:-0} unlike the first"
        done
    done
done
if [ "$flakes" -eq 0 ]; then
    echo "every gate answered alike in every run"
else
    echo "gates that answered otherwise, and how often:"
    sort "$folder/unsteady" | uniq -c
    exit 1
fi
