"""The tables of a results file as Markdown: `python benches/peers/table.py benches/results/MACHINE/peers-DATE.json`."""

import json
import statistics
import sys

METHODS = {"euler": "Euler", "rk4": "RK4", "rk4_38": "RK4", "blanes_moan4": "RK4"}
NAMES = {
    "torchdiffeq_eager": "torchdiffeq",
    "torchdiffeq_compile": "torchdiffeq, compiled field",
    "diffrax_backsolve": "diffrax",
    "diffrax_checkpoint": "diffrax",
    "candle_loop": "candle, a loop by hand",
}


def way(row):
    """A pass as readers know it."""
    if row["phase"] == "forward":
        return "forward"
    return f"loss and gradient, {row['adjoint']}"


def columns(rows):
    """(method, batch), as they are headed."""
    batches = sorted({row["batch"] for row in rows})
    methods = [m for m in dict.fromkeys(METHODS.values()) if any(METHODS[row["method"]] == m for row in rows)]
    return [(method, batch) for method in methods for batch in batches]


def grid(rows, label, cell):
    """One line per label, one column per method and batch; a dash where there is nothing."""
    heads = columns(rows)
    lines = {}
    for row in rows:
        lines.setdefault(label(row), {}).setdefault((METHODS[row["method"]], row["batch"]), []).append(row)
    titles = [f"{method}, {'B = ' * (i == 0)}{batch}" for i, (method, batch) in enumerate(heads)]
    text = ["| | " + " | ".join(titles) + " |", "|---" * (len(heads) + 1) + "|"]
    for name, cells in lines.items():
        text.append(f"| {name} | " + " | ".join(cell(cells[h]) if h in cells else "–" for h in heads) + " |")
    return "\n".join(text)


def ratio(rows):
    (row,) = rows
    if row.get("wrong"):
        return "wrong"
    return f"{row['ratio']:.2f}" if row["ratio"] < 10 else f"{row['ratio']:.0f}"


def ratios(results):
    """costate over the peer."""
    found = sorted(results["ratios"], key=lambda row: row["phase"] != "forward")

    def label(row):
        ours = f" (beside {row['costate_method']}, {row['costate_adjoint']})"
        return f"{NAMES[row['peer']]}, {way(row)}{'' if row['costate_method'] == row['method'] else ours}"

    # diffrax's two adjoints have the same forward pass.
    kept = [row for row in found if (row["peer"], row["phase"]) != ("diffrax_backsolve", "forward")]
    return grid(kept, label, ratio)


def throughput(results):
    """Million trajectory-steps per second, median over the rounds; steps are those of RK4 whatever stands for them."""
    rows = [row for row in results["rows"] if (row["peer"], row["phase"]) != ("diffrax_backsolve", "forward")]
    steps = results["workload"]["steps"]

    def cell(rows):
        if any(row.get("wrong") for row in rows):
            return "wrong"
        # costate's two RK4 are both its own, and equally fast.
        return f"{statistics.median(row['batch'] * steps / row['seconds'] for row in rows) / 1e6:.2f}"

    def label(row):
        method = f"{row['method']}, " if row["method"] == "blanes_moan4" else ""
        return f"{NAMES.get(row['peer'], '**costate**')}, {method}{way(row)}"

    ordered = sorted(rows, key=lambda row: (row["phase"] != "forward", row["peer"] != "costate"))
    return grid(ordered, label, cell)


def markdown(results):
    machine = results["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    return "\n".join(
        [
            "costate's throughput over the peer's (more than 1: costate is faster), median of the ratios of a round:",
            "",
            ratios(results) if results["ratios"] else "No peer was measured.",
            "",
            "Million trajectory-steps per second:",
            "",
            throughput(results),
            "",
            f"{machine['cpu']}, {machine['cores']} cores; {machine['driver']}; {versions}; {results['date']}.",
            *([results["note"]] if results["note"] else []),
        ]
    )


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    with open(sys.argv[1]) as file:
        print(markdown(json.load(file)))
