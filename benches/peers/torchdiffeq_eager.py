"""torchdiffeq as its readme shows it: every operation of the field is a call from Python."""

import workload

PEER = "torchdiffeq_eager"

if __name__ == "__main__":
    try:
        import torch_workload
    except ImportError as error:
        workload.explain_missing(PEER, error)
    torch_workload.run(PEER, lambda net, _adjoint: net)
