# `make check` is what every change must pass.
.PHONY: check format lint docs test python audit

check: format lint docs test

format:
	cargo fmt --all -- --check

lint:
	cargo clippy --workspace --all-targets -- -D warnings

docs:
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

test:
	cargo test --release

# The Python package, built of what `make test` has built: see scripts/python.sh.
python:
	scripts/python.sh

audit:
	cargo run --release -- audit
