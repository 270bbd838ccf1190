"""Measures costate and its peers in turn on this machine, checks that all find the same losses, and writes the numbers.

    python benches/peers/run.py --batches 256,4096,65536 --methods euler,rk4 --rounds 3 --machine NAME

Times are compared within a round only, where they are minutes apart: machines change their speed. A round goes through
batches and methods, and for each through costate and the peers, every other round backwards.
"""

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

try:
    import numpy as np
    from safetensors.numpy import load_file

    import table
    import workload
except ImportError as missing:
    sys.exit(
        f"run.py needs {missing.name}: pip install numpy safetensors (benches/peers/requirements.txt has the peers too), "
        "or take a Python that has it: make peers PYTHON=..."
    )

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
# Relative; single precision, and sums in an order of one's own.
LOSS_TOLERANCE = 1e-5
COSTATE_ADJOINTS = ("stored", "checkpointed", "backsolve")
# About the evaluations of 20 steps of RK4: 6 steps of 12, and one each for the contraction, are 78.
EXACT = {"method": "blanes_moan4", "adjoint": "exact", "steps": 6, "instead_of": ("rk4", "rk4_38")}
PACKAGES = ("numpy", "torch", "triton", "torchdiffeq", "jax", "jaxlib", "diffrax", "equinox")


class Peer:
    """How a peer is started, and what it calls the methods that were asked for."""

    def __init__(self, command, methods, remedy):
        self.command, self.methods, self.remedy = command, methods, remedy


def built(name, manifest):
    """The binary that cargo builds from a manifest: only cargo knows into which folder it builds."""
    asked = ["cargo", "metadata", "--format-version", "1", "--no-deps", "--manifest-path", str(manifest)]
    try:
        done = subprocess.run(asked, capture_output=True, text=True, check=True)
        target = Path(json.loads(done.stdout)["target_directory"])
    except (OSError, subprocess.CalledProcessError):
        # Peers that were built elsewhere are still worth measuring.
        target = manifest.parent / "target"
    # Where a target is configured, its folder comes between.
    found = [target / "release" / name, *sorted(target.glob(f"*/release/{name}"))]
    return next((path for path in found if path.is_file()), found[0])


def script(name, methods):
    return Peer([sys.executable, str(HERE / f"{name}.py")], methods, "see benches/peers/requirements.txt")


# torchdiffeq's rk4 is the 3/8 rule.
TORCHDIFFEQ = {"euler": "euler", "rk4": "rk4_38"}
CLASSIC = {"euler": "euler", "rk4": "rk4"}
PEERS = {
    "torchdiffeq_eager": script("torchdiffeq_eager", TORCHDIFFEQ),
    "torchdiffeq_compile": script("torchdiffeq_compile", TORCHDIFFEQ),
    "diffrax_backsolve": script("diffrax_backsolve", CLASSIC),
    "diffrax_checkpoint": script("diffrax_checkpoint", CLASSIC),
    "candle_loop": Peer(
        [str(built("candle_loop", HERE / "candle_loop/Cargo.toml"))],
        CLASSIC,
        "cargo build --release --manifest-path benches/peers/candle_loop/Cargo.toml",
    ),
}


def machine_name(text):
    """The name of a folder below benches/results, and no path."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", text):
        raise argparse.ArgumentTypeError(
            f"'{text}' is no name of a machine: use letters, digits, '.', '-' and '_', a letter or digit first"
        )
    return text


def arguments():
    parser = argparse.ArgumentParser(description="Measures costate and its peers in turn.")
    parser.add_argument("--batches", type=workload.numbers, default=[256, 4096, 65536])
    parser.add_argument("--methods", type=workload.listed, default=["euler", "rk4"], help="of euler, rk4")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=5, help="timed calls, of which the median counts")
    parser.add_argument("--peers", type=workload.listed, default=list(PEERS), help=f"of {', '.join(PEERS)}")
    parser.add_argument("--machine", type=machine_name, default="local", help="folder of benches/results that the numbers go to")
    parser.add_argument("--costate", help="the binary [default: the one that `cargo build --release` has built]")
    parser.add_argument("--adapter", help="adapter of costate, by name or index")
    parser.add_argument("--limit", type=float, default=1800.0, help="seconds after which a peer is given up")
    parser.add_argument("--note", help="what a reader should know about this run")
    args = parser.parse_args()
    for given, known in ((args.methods, CLASSIC), (args.peers, PEERS)):
        if unknown := sorted(set(given) - set(known)):
            parser.error(f"'{unknown[0]}' is none of {', '.join(known)}")
    args.costate = args.costate or built("costate", ROOT / "Cargo.toml")
    if not Path(args.costate).is_file():
        parser.error(f"{args.costate} is not there: build it with `cargo build --release`")
    return args


def say(text):
    print(text, file=sys.stderr, flush=True)


def without_folders(text):
    """Messages of a machine without where things lie on it."""
    return re.sub(r"(?<![\w.])(?:/[\w.+-]+)+/", "", text)


class Costate:
    """The measured side: the command line of costate."""

    def __init__(self, args, folder):
        # A bare name would be looked up in PATH.
        self.command, self.adapter, self.folder = str(Path(args.costate).resolve()), args.adapter, folder
        self.version = self.text("--version").split()[-1]
        self.facts = {}
        self.found = {}

    def text(self, *arguments):
        adapter = ["--adapter", self.adapter] if self.adapter else []
        done = subprocess.run([self.command, *arguments, *adapter], capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"costate {arguments[0]}: {done.stderr.strip().splitlines()[-1]}")
        return done.stdout

    def gradient(self, batch, method, adjoint, steps):
        """Loss and gradient with the given weights, which `bench` cannot take; one run, not a measurement."""
        key = batch, method, adjoint
        if key not in self.found:
            config, out = self.folder / "run.toml", self.folder / "costate.safetensors"
            state, *hidden, _ = workload.WIDTHS
            config.write_text(
                f'[field]\nstate = {state}\nhidden = {hidden}\nactivation = "tanh"\n\n'
                f'[solve]\nmethod = "{method}"\nt0 = 0.0\nt1 = 1.0\nsteps = {steps}\nadjoint = "{adjoint}"\n\n'
                '[loss]\nkind = "mse"\n'
            )
            answer = json.loads(
                self.text(
                    *("gradient", "--json", "--config", str(config), "--out", str(out)),
                    *("--weights", str(self.folder / "weights.safetensors")),
                    *("--x0", str(self.folder / f"x0-{batch}.npy")),
                    *("--targets", str(self.folder / f"targets-{batch}.npy")),
                )
            )
            tensors = load_file(out)
            self.found[key] = {
                "loss": answer["loss"],
                "evaluations": answer["field_evaluations"],
                "theta": {name: tensors[name].reshape(-1) for name in workload.names()},
            }
        return self.found[key]

    def bench(self, batch, method, adjoints, steps, repeats, phases):
        """Rows of `costate bench`, with the losses of `costate gradient`."""
        answer = json.loads(
            self.text(
                *("bench", "--json", "--no-tune", "--batch", str(batch), "--state", str(workload.WIDTHS[0])),
                *("--hidden", ",".join(map(str, workload.WIDTHS[1:-1])), "--activation", "tanh"),
                *("--method", method, "--adjoint", ",".join(adjoints), "--steps", str(steps)),
                *("--repeats", str(repeats), "--phase", ",".join(phases)),
            )
        )
        self.facts = {"adapter": answer["adapter"], "driver": answer["driver"]}
        rows = []
        for row in answer["results"]:
            adjoint = row["adjoint"] if row["phase"] == "gradient" else None
            found = self.gradient(batch, method, adjoint or adjoints[0], steps)
            rows.append(
                {
                    "peer": "costate",
                    "version": self.version,
                    "device": answer["adapter"],
                    **{key: row[key] for key in ("batch", "method")},
                    "adjoint": adjoint,
                    **{key: row[key] for key in ("steps", "phase", "seconds")},
                    "repeats": answer["repeats"],
                    "trajectory_steps_per_second": row["trajectory_steps_per_second"],
                    "loss": found["loss"],
                    **(self.beside_stored(row, found) if adjoint else {}),
                }
            )
        return rows

    def beside_stored(self, row, found):
        evaluations = {"evaluations": found["evaluations"]}
        if row["adjoint"] == "exact":
            return evaluations
        stored = self.gradient(row["batch"], row["method"], "stored", row["steps"])["theta"]
        return evaluations | {"theta_difference": difference(found["theta"], stored)}


def difference(a, b):
    """Relative, of two gradients in the Euclidean norm."""
    a, b = (np.concatenate([g[name].reshape(-1).astype(np.float64) for name in workload.names()]) for g in (a, b))
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


class Run:
    """All rounds, and what they found."""

    def __init__(self, args, folder):
        self.args, self.folder = args, folder
        self.costate = Costate(args, folder)
        self.rows, self.skipped, self.load = [], [], []
        self.absent = set()
        self.date = datetime.date.today().isoformat()

    def round(self, i):
        self.load.append(os.getloadavg()[0])
        cases = [(batch, method) for batch in self.args.batches for method in self.args.methods]
        turns = [turn for case in cases for turn in self.turns(*case)]
        for turn in reversed(turns) if i % 2 else turns:
            for row in turn():
                self.rows.append({"round": i, **row})

    def turns(self, batch, method):
        """What is measured next to each other: costate with the method of some peers, then these."""
        turns = []
        for name in dict.fromkeys(PEERS[peer].methods[method] for peer in self.args.peers):
            turns.append(lambda name=name: self.measure_costate(batch, name))
            for peer in self.args.peers:
                if PEERS[peer].methods[method] == name:
                    turns.append(lambda peer=peer, name=name: self.measure_peer(peer, batch, name))
        if method == "rk4":
            turns.append(lambda: self.measure_exact(batch))
        return turns

    def measure_costate(self, batch, method):
        say(f"costate, batch {batch}, {method}")
        return self.costate.bench(
            batch, method, COSTATE_ADJOINTS, workload.STEPS, self.args.repeats, workload.PHASES
        )

    def measure_exact(self, batch):
        method, adjoint, steps = EXACT["method"], EXACT["adjoint"], EXACT["steps"]
        say(f"costate, batch {batch}, {method} {adjoint}")
        return self.costate.bench(batch, method, [adjoint], steps, self.args.repeats, ["gradient"])

    def measure_peer(self, peer, batch, method):
        if peer in self.absent:
            return []
        say(f"{peer}, batch {batch}, {method}")
        command = [
            *PEERS[peer].command,
            *("--workload", str(self.folder), "--gradients", str(self.folder)),
            *("--batches", str(batch), "--methods", method, "--repeats", str(self.args.repeats)),
        ]
        # JAX would take most of a GPU's memory before it needs any, and costate needs some too.
        environment = {**os.environ, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=self.args.limit, env=environment)
        except FileNotFoundError:
            return self.skip(peer, f"not built: {PEERS[peer].remedy}", for_good=True)
        except subprocess.TimeoutExpired:
            return self.skip(peer, f"not done after {self.args.limit} s", batch, method)
        if done.returncode == workload.NOT_INSTALLED:
            return self.skip(peer, f"{done.stderr.strip().splitlines()[-1]}", for_good=True)
        if done.returncode != 0:
            last = ([f"status {done.returncode}"] + done.stderr.strip().splitlines())[-1]
            return self.skip(peer, last, batch, method)
        return [self.checked(json.loads(line)) for line in done.stdout.splitlines() if line.startswith("{")]

    def skip(self, peer, reason, batch=None, method=None, for_good=False):
        reason = without_folders(reason)
        say(f"{peer} is skipped: {reason}")
        self.skipped.append({"peer": peer, "batch": batch, "method": method, "reason": reason})
        if for_good:
            self.absent.add(peer)
        return []

    def checked(self, row):
        """Marks what did not find costate's loss; says how far the gradient is from that of the computed loss."""
        expected = self.costate.gradient(row["batch"], row["method"], "stored", row["steps"])
        if not abs(row["loss"] - expected["loss"]) <= LOSS_TOLERANCE * abs(expected["loss"]):
            row["wrong"] = f"the loss is {row['loss']}, costate's is {expected['loss']}"
            say(f"{row['peer']}: {row['wrong']}")
        if row["phase"] == "gradient":
            name = f"{row['peer']}-{row['batch']}-{row['method']}-{row['adjoint']}.safetensors"
            row["theta_difference"] = difference(load_file(self.folder / name), expected["theta"])
        return row

    def ratios(self):
        """How many times a peer's seconds are costate's: the median over rounds of the ratio within a round."""
        key = lambda row: (row["round"], row["batch"], row["method"], row["adjoint"], row["phase"])
        ours = {key(row): row for row in self.rows if row["peer"] == "costate"}
        ratios = {}
        for row in self.rows:
            if row["peer"] == "costate":
                continue
            beside = [ours.get(key(row))]
            if row["phase"] == "gradient" and row["method"] in EXACT["instead_of"]:
                beside.append(ours.get((row["round"], row["batch"], EXACT["method"], EXACT["adjoint"], "gradient")))
            for our in filter(None, beside):
                case = (row["peer"], row["batch"], row["method"], row["adjoint"], row["phase"])
                case += (our["method"], our["adjoint"], our["steps"])
                ratios.setdefault(case, []).append((row["seconds"] / our["seconds"], row.get("wrong")))
        names = ("peer", "batch", "method", "adjoint", "phase", "costate_method", "costate_adjoint", "costate_steps")
        return [
            {
                **dict(zip(names, case)),
                "ratio": statistics.median(ratio for ratio, _ in found),
                "ratio_min": min(ratio for ratio, _ in found),
                "ratio_max": max(ratio for ratio, _ in found),
                "rounds": len(found),
                **({"wrong": True} if any(wrong for _, wrong in found) else {}),
            }
            for case, found in ratios.items()
        ]

    def results(self):
        return {
            "command": "python benches/peers/run.py " + " ".join(without_note(sys.argv[1:])),
            "version": self.costate.version,
            "commit": commit(),
            "date": self.date,
            "note": self.args.note,
            "machine": machine() | self.costate.facts,
            "versions": versions(),
            "workload": {
                "widths": workload.WIDTHS,
                "activation": "tanh",
                "steps": workload.STEPS,
                "seed": workload.SEED,
            },
            "load_before_rounds": self.load,
            "ratios": self.ratios(),
            "skipped": self.skipped,
            "rows": self.rows,
        }


def without_note(arguments):
    """The arguments as a reader would type them: without the note, and without this machine's folders."""
    kept, given = [], iter(arguments)
    for argument in given:
        if argument == "--note":
            next(given, None)
        elif not argument.startswith("--note="):
            kept.append(without_folders(argument))
    return kept


def commit():
    def git(*arguments):
        return subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True).stdout.strip()

    changes = " and changes" if git("status", "--porcelain", "src", "shaders") else ""
    return git("rev-parse", "--short", "HEAD") + changes


def machine():
    cpu = platform.processor() or platform.machine()
    try:
        cpu = re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text())[1]
    except (OSError, TypeError):
        pass
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else None
    return {"cpu": cpu, "cores": os.cpu_count(), "memory_bytes": pages, "system": platform.system()}


def versions():
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            pass
    return found


def main():
    args = arguments()
    folder = ROOT / "benches/results" / args.machine
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        run = Run(args, Path(scratch))
        file = folder / f"peers-{run.date}.json"
        workload.write(run.folder, args.batches)
        for i in range(args.rounds):
            run.round(i)
            # Rounds that are done survive one that is broken off.
            results = run.results()
            file.write_text(json.dumps(results, indent=1) + "\n")
    print(table.markdown(results))
    say(f"written: {file.relative_to(ROOT)}")
    if any(row.get("wrong") for row in results["rows"]):
        sys.exit("some losses are wrong")


if __name__ == "__main__":
    main()
