# make setup   the Vulkan loader and a driver, if there is none (Debian and Ubuntu)
# make test    all tests; no GPU needed
# make test-swiftshader   some of them on SwiftShader, a second driver, downloaded if it is not there
# make lint    formatting, clippy and the documentation, warnings being errors
# make demo    learns a spiral and says where the plots are
# make bench   throughput on the adapter that would be taken
# make exactness   every number and plot of docs/exact-gradients.md, in about twenty minutes on two cores;
#                  MACHINE=name says in which folder of benches/results the numbers go
# make peers   costate beside torchdiffeq, diffrax and candle, those that are installed; takes MACHINE too, and
#              PYTHON=target/peers/bin/python for the Python that has them, PEERS_ARGS for more of run.py's options

CARGO ?= cargo
DEMO_FOLDER := runs/spiral
MACHINE ?= local
PYTHON ?= python3
# Test files that also run on SwiftShader, whose compiler rewrites other expressions and whose subgroups are of 4.
SWIFTSHADER_TESTS := kernels gradients exact contracting
# Examples that fail if a number is not what it should be.
EXAMPLES := seed
# Mesa complains on every start where this is not set. Nothing can lie in there.
export XDG_RUNTIME_DIR ?= /dev/null

.PHONY: setup test test-swiftshader lint demo bench exactness peers

setup:
	@bash scripts/setup.sh

test: setup
	$(CARGO) test --workspace
	@for example in $(EXAMPLES); do $(CARGO) run --quiet --example $$example > /dev/null || exit; done

# The tests take the adapter that `costate adapters` names. Loaders before 1.3.207 know the second variable only.
test-swiftshader: setup
	$(CARGO) build
	@icd=$$(bash scripts/swiftshader.sh) || exit; \
	export VK_DRIVER_FILES="$$icd" VK_ICD_FILENAMES="$$icd"; \
	taken=$$($(CARGO) run -q -- adapters | tail -n 1); \
	case $$taken in \
		SwiftShader*" is taken: "*) echo "$$taken" ;; \
		*) echo "make: with VK_DRIVER_FILES=$$icd the tests would not run on SwiftShader, but: $${taken:-no adapter};" \
			"look for other VK_ and WGPU_ variables in the environment, or remove target/swiftshader" >&2; exit 1 ;; \
	esac; \
	$(CARGO) test --lib $(addprefix --test ,$(SWIFTSHADER_TESTS))

lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps

demo: setup
	$(CARGO) run --release -- train examples/spiral.toml
	@echo "The plots are in $(DEMO_FOLDER):"
	@ls $(DEMO_FOLDER)/*.svg

bench: setup
	$(CARGO) run --release -- bench

exactness: setup
	@for part in memory limits time training drift; do \
		$(CARGO) run --release --example exactness -- $$part --machine "$(MACHINE)" || exit; \
	done

# The driver leaves out, and names, what is not there; it prints the tables at its end.
peers: setup
	$(CARGO) build --release
	"$(PYTHON)" benches/peers/run.py --machine "$(MACHINE)" $(PEERS_ARGS)
