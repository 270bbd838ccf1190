"""diffrax with BacksolveAdjoint: the continuous adjoint, which solves backward for x(t)."""

import workload

PEER = "diffrax_backsolve"

if __name__ == "__main__":
    try:
        import diffrax
        import jax_workload
    except ImportError as error:
        workload.explain_missing(PEER, error)
    jax_workload.run(PEER, "backsolve", diffrax.BacksolveAdjoint())
