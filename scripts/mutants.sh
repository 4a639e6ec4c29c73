#!/bin/sh
# Changes one line of the audit or of quantizing at a time, runs the tests that should notice, and says which changes
# nobody noticed. The sources are put back whatever happens. Usage: scripts/mutants.sh [WORD]: only mutants whose name has it.
#
# A mutant is `name|file|tests|sed expression`, where tests is `lib FILTER` or the name of a test target and a filter.
set -u
cd "$(dirname "$0")/.." || exit 2
if ! git diff --quiet -- crates; then
    echo "commit or stash the changes under crates/ first" >&2
    exit 2
fi
trap 'git checkout --quiet -- crates' EXIT
trap 'exit 1' INT TERM

a=crates/tinytorch/src/audit
q=crates/tinytorch/src/quant
survived=0
all=0
while IFS='|' read -r name file target filter change; do
    case "$name" in ''|\#*) continue ;; *"${1-}"*) ;; *) continue ;; esac
    eval "file=$file"
    sed -i "$change" "$file"
    if git diff --quiet -- "$file"; then
        echo "STALE    $name: the line that it changes is not there"
        survived=$((survived + 1))
        continue
    fi
    all=$((all + 1))
    case "$target" in lib) which=--lib ;; *) which="--test $target" ;; esac
    # shellcheck disable=SC2086
    if ! cargo build --quiet -p tinytorch 2>/dev/null; then
        echo "UNVIABLE $name"
    elif cargo test --quiet -p tinytorch $which -- $filter >/dev/null 2>&1; then
        echo "SURVIVED $name"
        survived=$((survived + 1))
    else
        echo "caught   $name"
    fi
    git checkout --quiet -- "$file"
done <<'MUTANTS'
unknown counts as pass|$a/report.rs|lib|audit|s/Outcome::Pass . Outcome::NotApplicable)/Outcome::Pass \| Outcome::NotApplicable | Outcome::Unknown)/
values may be 4 steps off|$a/rounding.rs|lib|audit::rounding|s/const HALF: f64 = 0.5/const HALF: f64 = 4.0/
number of layers not compared|$a/gates/structure.rs|lib|audit::gates|s/float.len() != int8.len() {/false \&\& float.len() != int8.len() {/
shapes not compared|$a/gates/structure.rs|lib|audit::gates|s/was.shape() != is.shape()/false/
kinds not compared|$a/gates/structure.rs|lib|audit::gates|s/was.kind != is.kind/false/
hyper-parameters not compared|$a/gates/structure.rs|lib|audit::gates|s/without_fold(was) != without_fold(is)/false/
half of the weights suffices|$a/gates/coverage.rs|lib|audit::gates|s/COVERED: f64 = 0.9/COVERED: f64 = 0.5/
budget ten times larger|$a/gates/output_error.rs|planted_faults|budget|s/budget.max_error \* 100.0/budget.max_error * 1000.0/
90 % of the accuracy suffices|$a/gates/accuracy.rs|lib|audit::gates|s/KEPT: f64 = 99.0/KEPT: f64 = 90.0/
an error may grow by a tenth|$a/gates/accuracy.rs|lib|audit::gates|s/LOST: f64 = 1.01/LOST: f64 = 1.1/
any size passes|$a/gates/mod.rs|lib|audit::gates|s/full.min(0.98 \* possible)/0.0 * full.min(possible)/
any process passes|$a/gates/process_memory.rs|lib|audit::gates|s/FULL.min(0.98/(0.0 * FULL).min(0.98/
outputs of the loaded model not compared|$a/gates/round_trip.rs|planted_faults|outputs_that_saving|s/if !compare::all_same_bits/if false \&\& !compare::all_same_bits/
threads not compared|$a/gates/determinism.rs|planted_faults|threads|s/if !all_same_bits(&again/if false \&\& !all_same_bits(\&again/
second run not compared|$a/steadiness.rs|planted_faults|run_again|s/if !same_bits(&output(&run, self/if false \&\& !same_bits(\&output(\&run, self/
latency passes whatever it is|$a/gates/latency.rs|lib|audit::gates|s/LIMIT: f64 = 1.0/LIMIT: f64 = f64::INFINITY/
calibration passes whatever it did|$a/gates/calibration.rs|lib|audit::gates|s/f64::MIN_POSITIVE, "% saved"/f64::NEG_INFINITY, "% saved"/
five times what rounding explains|$a/layers.rs|lib|audit::layers|s/UNEXPLAINED: f64 = 2.0/UNEXPLAINED: f64 = 5.0/
sizes compare to 4.0|$q/sizes.rs|lib|quant::sizes|s/ratio: numerator as f64 .*/ratio: 4.0 * (numerator.max(1) \/ numerator.max(1)) as f64 + 0.0 * denominator as f64 })/
a convolution that is read twice folds|$q/fold.rs|integration|quantization_fold|s/consumers(graph, conv_edge) > 1/consumers(graph, conv_edge) > 9/
a convolution that runs twice folds|$q/fold.rs|integration|quantization_fold|s/users(graph, param) > 1/users(graph, param) > 9/
ranges without data are halved|$q/data_free.rs|lib|quant::data_free|s/SIGMAS: f32 = 6.0/SIGMAS: f32 = 3.0/
positive parts keep their negative half|$q/data_free.rs|lib|quant::data_free|s/low: low.max(0.0), high: high.max(0.0)/low, high: high.max(0.0)/
sums of ranges are not added|$q/data_free.rs|lib|quant::data_free|s/(low + other_low, high + other_high)/(low, high + other_high)/
known inputs need not hold 0|$q/data_free.rs|lib|quant::data_free|s/low: low.min(0.0), high/low, high/
a longer row spreads no further|$q/data_free.rs|lib|quant::data_free|s/(squares \* rms \* rms + bias \* bias).sqrt()/(rms * rms + bias * bias + 0.0 * squares).sqrt()/
any scale is usable|crates/tinytorch/src/files/int8.rs|integration|io_model|s/scale > 0.0 \&\& scale.is_finite() \&\& scale.recip().is_finite()/scale.is_finite() || !scale.is_finite()/
a folded norm leaves no shift|$q/apply.rs|integration|quantization_fold|s/Some(shift) => weight.with_shift(shift.into()),/Some(_) => Ok(weight),/
flags set before are lost|$q/changes.rs|lib|quant::changes|s/filter(|(_, set)| \*set)/filter(\x7c_\x7c false)/
MUTANTS
echo "$((all - survived)) of $all mutants were noticed"
[ "$survived" -eq 0 ]
