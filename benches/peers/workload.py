"""The workload that costate and its peers run, and the clock that peers are measured with.

dx/dt = f(x) with a 2-64-64-2 tanh network on [0, 1] in equal steps, f32; the loss is the mean squared error at t = 1. A
driver writes weights, initial states and targets once, so that every peer must find the same losses. Run alone, this
file writes such a folder:

    python workload.py FOLDER --batches 256,4096
"""

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

WIDTHS = (2, 64, 64, 2)
STEPS = 20
SEED = 0
PHASES = ("forward", "gradient")
# An exit status of its own: a peer that is not installed is no failure.
NOT_INSTALLED = 77


def names():
    """The tensors as an `nn.Sequential` called `net` names them."""
    return [f"net.{2 * i}.{kind}" for i in range(len(WIDTHS) - 1) for kind in ("weight", "bias")]


def write(folder, batches):
    """Writes weights (Xavier, uniform; biases 0), initial states and targets (standard normal)."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(SEED)
    weights = {}
    for i, (n_in, n_out) in enumerate(zip(WIDTHS[:-1], WIDTHS[1:])):
        bound = np.sqrt(6.0 / (n_in + n_out))
        weights[f"net.{2 * i}.weight"] = rng.uniform(-bound, bound, (n_out, n_in)).astype(np.float32)
        weights[f"net.{2 * i}.bias"] = np.zeros(n_out, np.float32)
    save_file(weights, folder / "weights.safetensors")
    for batch in batches:
        rng = np.random.default_rng([SEED, batch])
        np.save(folder / f"x0-{batch}.npy", rng.standard_normal((batch, WIDTHS[0]), np.float32))
        np.save(folder / f"targets-{batch}.npy", rng.standard_normal((1, batch, WIDTHS[0]), np.float32))


class Workload:
    """What a peer is given: everything in the memory of the host."""

    def __init__(self, folder, batch):
        self.folder, self.batch = Path(folder), batch
        self.weights = load_file(self.folder / "weights.safetensors")
        self.x0 = np.load(self.folder / f"x0-{batch}.npy")
        self.targets = np.load(self.folder / f"targets-{batch}.npy")[0]

    def loss(self, x1):
        """In f64, of states that a forward pass returned."""
        return float(np.mean((x1.astype(np.float64) - self.targets) ** 2))


def listed(text):
    return [part for part in text.split(",") if part]


def numbers(text):
    return [int(part) for part in listed(text)]


def explain_missing(peer, error):
    """Ends a peer whose packages are not there."""
    print(f"{peer} is not installed ({error}): see requirements.txt", file=sys.stderr)
    sys.exit(NOT_INSTALLED)


def clock(call, warm_up, repeats):
    """Seconds of the repeats, and what the last one returned. `call` returns NumPy arrays, hence nothing is pending."""
    for _ in range(warm_up):
        call()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        result = call()
        seconds.append(time.perf_counter() - start)
    return seconds, result


def run(peer, version, device, methods, adjoints, prepare):
    """Measures a peer and prints one JSON line per measurement.

    `prepare(work, method, adjoint, phase)` returns the function to time. It takes the workload's NumPy arrays, weights
    included, to where the peer computes, and returns NumPy arrays: x(1) in the phase `forward`, where `adjoint` is
    None; (loss, {name: gradient}, dJ/dx0) in the phase `gradient`.
    """
    parser = argparse.ArgumentParser(description=f"Times {peer} on a workload of costate.")
    parser.add_argument("--workload", required=True, help="folder written by workload.py")
    parser.add_argument("--batches", type=numbers, default=[256])
    parser.add_argument("--methods", type=listed, default=methods, help=f"of {', '.join(methods)}")
    parser.add_argument("--adjoints", type=listed, default=adjoints, help=f"of {', '.join(adjoints)}")
    parser.add_argument("--phases", type=listed, default=list(PHASES))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--warm-up", type=int, default=2, help="calls before the timed ones; the first compiles")
    parser.add_argument("--gradients", help="folder to write the gradients to, for comparison")
    args = parser.parse_args()
    for given, known in ((args.methods, methods), (args.adjoints, adjoints), (args.phases, PHASES)):
        if unknown := set(given) - set(known):
            parser.error(f"{peer} does not know {', '.join(sorted(unknown))}: choose from {', '.join(known)}")
    cases = [(phase, adjoint) for phase in args.phases for adjoint in ([None] if phase == "forward" else args.adjoints)]
    for batch in args.batches:
        work = Workload(args.workload, batch)
        for method in args.methods:
            for phase, adjoint in cases:
                seconds, result = clock(prepare(work, method, adjoint, phase), args.warm_up, args.repeats)
                if phase == "forward":
                    loss = work.loss(result)
                else:
                    loss, theta, x0 = result
                    if args.gradients:
                        file = Path(args.gradients) / f"{peer}-{batch}-{method}-{adjoint}.safetensors"
                        save_file({name: np.ascontiguousarray(g) for name, g in theta.items()} | {"x0": x0}, file)
                median = statistics.median(seconds)
                row = {
                    "peer": peer,
                    "version": version,
                    "device": device,
                    "batch": batch,
                    "method": method,
                    "adjoint": adjoint,
                    "steps": STEPS,
                    "phase": phase,
                    "seconds": median,
                    "seconds_min": min(seconds),
                    "seconds_max": max(seconds),
                    "repeats": args.repeats,
                    "trajectory_steps_per_second": batch * STEPS / median,
                    "loss": float(loss),
                }
                print(json.dumps(row), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Writes a workload.")
    parser.add_argument("folder")
    parser.add_argument("--batches", type=numbers, default=[256])
    args = parser.parse_args()
    write(args.folder, args.batches)
