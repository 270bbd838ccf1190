# make setup   the Vulkan loader and a driver, if there is none (Debian and Ubuntu)
# make test    all tests; no GPU needed
# make lint    formatting, clippy and the documentation, warnings being errors
# make demo    learns a spiral and says where the plots are
# make bench   throughput on the adapter that would be taken

CARGO ?= cargo
DEMO_FOLDER := runs/spiral
# Mesa complains on every start where this is not set.
export XDG_RUNTIME_DIR ?= $(CURDIR)/target

.PHONY: setup test lint demo bench

setup:
	@bash scripts/setup.sh

test: setup
	$(CARGO) test --workspace

lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps

demo: setup
	$(CARGO) build --release
	target/release/costate train examples/spiral.toml
	@echo "The plots are in $(DEMO_FOLDER):"
	@ls $(DEMO_FOLDER)/*.svg

bench: setup
	$(CARGO) build --release
	target/release/costate bench
