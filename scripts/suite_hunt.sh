#!/usr/bin/env bash
# Runs every test program again and again, at differing numbers of tests at a time and of threads of a test, and says which test
# ever failed: a test that fails now and then hides the day on which it fails rightly. Exits with 1 if there is one.
#
#   scripts/suite_hunt.sh                             # 20 rounds: hours
#   ROUNDS=4 PROGRAMS='planted|golden' scripts/suite_hunt.sh
#   LOAD=4 scripts/suite_hunt.sh                      # beside four busy processes
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${ROUNDS:-20}
wanted=${PROGRAMS:-.}
load=${LOAD:-0}
at_a_time=(1 2 8 32)
threads=(2 1 64 8 3)

folder=$(mktemp -d)
busy=()
cleanup() {
    for process in "${busy[@]}"; do kill "$process" 2> /dev/null || true; done
    rm -rf "$folder"
}
trap cleanup EXIT

# A package's folder, in which its tests run, and a test program of it, a line each.
cargo test --release --no-run --message-format=json 2> /dev/null |
    sed -n 's/.*"manifest_path":"\([^"]*\)\/Cargo.toml".*"test":true}.*"executable":"\([^"]*\)".*/\1 \2/p' |
    grep -E "$wanted" > "$folder/programs"
for ((i = 0; i < load; i++)); do
    (while :; do :; done) &
    busy+=($!)
done

failed=0
for ((round = 0; round < rounds; round++)); do
    tests=${at_a_time[round % ${#at_a_time[@]}]}
    count=${threads[round % ${#threads[@]}]}
    passed=0
    while read -r package program; do
        if (cd "$package" && CARGO_MANIFEST_DIR=$package RAYON_NUM_THREADS=$count "$program" --test-threads "$tests") \
            < /dev/null > "$folder/out" 2>&1; then
            passed=$((passed + $(grep -c '^test .* \.\.\. ok$' "$folder/out" || true)))
            continue
        fi
        failed=$((failed + 1))
        echo "$(basename "$program"), $tests tests at a time, $count threads:"
        sed -n '/^failures:$/,$p' "$folder/out"
        { grep -oE '^test .* \.\.\. FAILED$' "$folder/out" || echo "$(basename "$program") ended otherwise"; } >> "$folder/unsteady"
    done < "$folder/programs"
    echo "round $((round + 1)): $tests tests at a time, $count threads: $passed tests passed; programs that failed so far: $failed"
done
if [ "$failed" -eq 0 ]; then
    echo "every test passed in every round"
else
    echo "tests that failed, and how often:"
    sort "$folder/unsteady" | uniq -c
    exit 1
fi
