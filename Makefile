# `make check` is what every change must pass.
.PHONY: check format lint docs test python audit

check: format lint docs test

format:
	cargo fmt --all -- --check

# In release, so that what macros and build scripts are made of is compiled once for all of the gate.
lint:
	cargo clippy --release --workspace --all-targets -- -D warnings

docs:
	RUSTDOCFLAGS="-D warnings" cargo doc --release --workspace --no-deps

test:
	cargo test --release

# The Python package, built of what `make test` has built: see scripts/python.sh.
python:
	scripts/python.sh

audit:
	cargo run --release -- audit
