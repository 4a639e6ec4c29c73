# `make check` is what every change must pass.
.PHONY: check format lint docs test audit

check: format lint docs test

format:
	cargo fmt --all -- --check

lint:
	cargo clippy --workspace --all-targets -- -D warnings

docs:
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

test:
	cargo test --release

audit:
	cargo run --release -- audit
