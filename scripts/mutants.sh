#!/usr/bin/env bash
# Changes one line of the audit or of quantizing at a time, runs the tests that should notice, and says which changes
# nobody noticed. `scripts/mutants.txt` has the changes. It works in a copy of what is committed, beside the build, so
# that one may go on working; changes of the same test program come one after the other, which compiles less.
#
#   scripts/mutants.sh                  # all of them: an hour or two
#   scripts/mutants.sh agreement 'any ' # those whose names hold one of these
#   scripts/mutants.sh --check          # only whether the lines that are to be changed are still there
set -uo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
CARGO_TARGET_DIR=$(realpath -m "${CARGO_TARGET_DIR:-$root/target}")
export CARGO_TARGET_DIR
tree=$CARGO_TARGET_DIR/mutants-tree
SECONDS_A_TEST_MAY_TAKE=900

check=
if [ "${1:-}" = --check ]; then
    check=yes
    shift
fi

# Files keep the time at which they changed last, so that cargo compiles nothing twice.
if [ -e "$tree" ]; then
    git -C "$tree" checkout --quiet -- . && git -C "$tree" checkout --quiet --detach "$(git -C "$root" rev-parse HEAD)"
else
    git -C "$root" worktree add --quiet --force --detach "$tree"
fi || exit 2
cd "$tree" || exit 2
trap 'git checkout --quiet -- .' EXIT
trap 'exit 1' INT TERM

path_of() {
    case $1 in
        A/*) echo "crates/tinytorch/src/audit/${1#A/}" ;;
        Q/*) echo "crates/tinytorch/src/quant/${1#Q/}" ;;
        C/*) echo "crates/tinytorch-core/src/${1#C/}" ;;
        K/*) echo "crates/tinytorch-kernels/src/${1#K/}" ;;
        O/*) echo "crates/tinytorch-onnx/src/${1#O/}" ;;
        X/*) echo "crates/tinytorch-cli/src/${1#X/}" ;;
    esac
}

is_wanted() {
    local name=$1 word
    shift
    [ $# -eq 0 ] && return 0
    for word in "$@"; do [[ $name == *"$word"* ]] && return 0; done
    return 1
}

# The mutants of one test program after those of another: `package program | filter | name | file | change`.
in_order() {
    local line name file tests change package
    while IFS= read -r line; do
        case $line in '' | \#*) continue ;; esac
        name=${line%% | *} line=${line#* | }
        file=$(path_of "${line%% | *}") line=${line#* | }
        tests=${line%% | *} change=${line#* | }
        is_wanted "$name" "$@" || continue
        package=${file#crates/}
        echo "${package%%/*} ${tests%% *} | ${tests#* } | $name | $file | $change"
    done < scripts/mutants.txt | sort --stable --field-separator='|' --key=1,1
}

noticed=0 survived=0 stale=0
while IFS= read -r line; do
    program=${line%% | *} line=${line#* | }
    filter=${line%% | *} line=${line#* | }
    name=${line%% | *} line=${line#* | }
    file=${line%% | *} change=${line#* | }
    sed -i "$change" "$file"
    if git diff --quiet -- "$file"; then
        echo "STALE    $name: the line that it changes is not there"
        stale=$((stale + 1))
        continue
    fi
    if [ -n "$check" ]; then
        git checkout --quiet -- "$file"
        continue
    fi
    case $program in
        *\ lib) target=(--lib) ;;
        *) target=(--test "${program#* }") ;;
    esac
    case $program in tinytorch-onnx\ *) target+=(--features models) ;; esac
    cargo=(cargo test --quiet --profile mutants -p "${program% *}" "${target[@]}")
    started=$SECONDS
    if ! "${cargo[@]}" --no-run > /dev/null 2>&1; then
        echo "UNVIABLE $name"
        stale=$((stale + 1))
        git checkout --quiet -- "$file"
        continue
    fi
    compiled=$SECONDS
    answer=$(timeout "$SECONDS_A_TEST_MAY_TAKE" "${cargo[@]}" -- "$filter" 2> /dev/null)
    if [ $? -ne 0 ]; then
        verdict='caught  '
        noticed=$((noticed + 1))
    else
        verdict=SURVIVED
        survived=$((survived + 1))
        case $answer in *"running 0 tests"*) name="$name: no test is called $filter" ;; esac
    fi
    echo "$verdict $name (compiled in $((compiled - started)) s, tested in $((SECONDS - compiled)) s)"
    git checkout --quiet -- "$file"
done < <(in_order "$@")
[ -n "$check" ] || echo "$noticed of $((noticed + survived)) mutants were noticed; $stale could not be made"
[ $((survived + stale)) -eq 0 ]
