#!/usr/bin/env bash
# Changes one line of the audit or of quantizing at a time, runs the tests that should notice, and says which changes
# nobody noticed. `scripts/mutants.txt` has the changes. The sources are put back whatever happens.
#
#   scripts/mutants.sh                  # all of them: an hour or two
#   scripts/mutants.sh agreement 'any ' # those whose names hold one of these
set -uo pipefail
cd "$(dirname "$0")/.." || exit 2
if ! git diff --quiet -- crates; then
    echo "commit or stash the changes under crates/ first" >&2
    exit 2
fi
trap 'git checkout --quiet -- crates' EXIT
trap 'exit 1' INT TERM

# The package of a file, and the arguments that name its tests.
tests_of() {
    local file=$1 tests=$2
    package=${file#crates/}
    package=${package%%/*}
    filter=${tests#* }
    case $tests in
        lib\ *) target=(--lib) ;;
        *) target=(--test "${tests%% *}") ;;
    esac
    cargo=(cargo test --quiet --profile mutants -p "$package" "${target[@]}")
}

is_wanted() {
    local name=$1 word
    shift
    [ $# -eq 0 ] && return 0
    for word in "$@"; do [[ $name == *"$word"* ]] && return 0; done
    return 1
}

noticed=0 survived=0 stale=0
while IFS= read -r line; do
    case $line in '' | \#*) continue ;; esac
    name=${line%% | *} rest=${line#* | }
    file=${rest%% | *} rest=${rest#* | }
    tests=${rest%% | *} change=${rest#* | }
    is_wanted "$name" "$@" || continue
    case $file in
        A/*) file=crates/tinytorch/src/audit/${file#A/} ;;
        Q/*) file=crates/tinytorch/src/quant/${file#Q/} ;;
        C/*) file=crates/tinytorch-core/src/${file#C/} ;;
        K/*) file=crates/tinytorch-kernels/src/${file#K/} ;;
        X/*) file=crates/tinytorch-cli/src/${file#X/} ;;
    esac
    sed -i "$change" "$file"
    if git diff --quiet -- "$file"; then
        echo "STALE    $name: the line that it changes is not there"
        stale=$((stale + 1))
        continue
    fi
    tests_of "$file" "$tests"
    if ! "${cargo[@]}" --no-run > /dev/null 2>&1; then
        echo "UNVIABLE $name"
        stale=$((stale + 1))
    elif answer=$("${cargo[@]}" -- "$filter" 2> /dev/null); then
        case $answer in
            *"running 0 tests"*) echo "SURVIVED $name: no test is called $filter" ;;
            *) echo "SURVIVED $name" ;;
        esac
        survived=$((survived + 1))
    else
        echo "caught   $name"
        noticed=$((noticed + 1))
    fi
    git checkout --quiet -- "$file"
done < scripts/mutants.txt
echo "$noticed of $((noticed + survived)) mutants were noticed; $stale could not be made"
[ $((survived + stale)) -eq 0 ]
