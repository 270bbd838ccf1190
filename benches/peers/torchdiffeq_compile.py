"""torchdiffeq with a field that torch.compile has fused; the solver around it stays in Python.

Where nothing can compile (Inductor needs a C++ compiler, on CUDA Triton), the first call says so and ends the run:
nothing falls back to eager code under this name.
"""

import workload

PEER = "torchdiffeq_compile"

if __name__ == "__main__":
    try:
        import torch
        import torch._dynamo
        import torch._functorch.config
        import torch_workload
    except ImportError as error:
        workload.explain_missing(PEER, error)

    def compiled(net, adjoint):
        # Every network of a run is a new one, and their number is limited.
        torch._dynamo.reset()
        # odeint_adjoint keeps the graph of an evaluation, which compiled code that gives its buffers away refuses.
        torch._functorch.config.donated_buffer = adjoint != "backsolve"
        return torch.compile(net, fullgraph=True, dynamic=False)

    torch._dynamo.config.suppress_errors = False
    torch_workload.run(PEER, compiled)
