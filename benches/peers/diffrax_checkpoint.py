"""diffrax with RecursiveCheckpointAdjoint, its default: the discrete gradient, with checkpoints as it chooses."""

import workload

PEER = "diffrax_checkpoint"

if __name__ == "__main__":
    try:
        import diffrax
        import jax_workload
    except ImportError as error:
        workload.explain_missing(PEER, error)
    jax_workload.run(PEER, "checkpointed", diffrax.RecursiveCheckpointAdjoint())
