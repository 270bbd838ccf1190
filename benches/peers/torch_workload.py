"""The workload in torchdiffeq, whatever the field is made of.

torchdiffeq's `rk4` is the 3/8 rule, so it runs under that name: `rk4_38`. A grid of its own gives 20 steps exactly;
with `step_size` their number would hang on the rounding of 1 / 0.05.
"""

import torch
import torchdiffeq

import workload

SOLVERS = {"euler": "euler", "rk4_38": "rk4"}
# Autograd through the solver, which keeps every evaluation; the continuous adjoint, which solves backward for x(t).
ADJOINTS = {"stored": torchdiffeq.odeint, "backsolve": torchdiffeq.odeint_adjoint}


def grid(_func, _y0, t):
    return torch.linspace(t[0], t[-1], workload.STEPS + 1, dtype=t.dtype, device=t.device)


class Field(torch.nn.Module):
    """f(t, x); `wrap` makes of the network what is to be called, for a pass with that adjoint."""

    def __init__(self, wrap, adjoint):
        super().__init__()
        layers = []
        for n_in, n_out in zip(workload.WIDTHS[:-1], workload.WIDTHS[1:]):
            layers += [torch.nn.Linear(n_in, n_out), torch.nn.Tanh()]
        self.net = torch.nn.Sequential(*layers[:-1])
        self.call = wrap(self.net, adjoint)

    def forward(self, _t, x):
        return self.call(x)


def run(peer, wrap):
    # f32 throughout: no TF32 on GPUs that have it.
    torch.set_float32_matmul_precision("highest")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    name = torch.cuda.get_device_name() if device.type == "cuda" else f"cpu, {torch.get_num_threads()} threads"

    def synchronise():
        if device.type == "cuda":
            torch.cuda.synchronize()

    def prepare(work, method, adjoint, phase):
        field = Field(wrap, adjoint).to(device)
        parameters = dict(field.named_parameters())
        assert list(parameters) == workload.names(), "the weights of a file would not fit"
        t = torch.tensor([0.0, 1.0], device=device)
        options = {"grid_constructor": grid}

        def upload():
            with torch.no_grad():
                for name, parameter in parameters.items():
                    parameter.copy_(torch.from_numpy(work.weights[name]))
                    parameter.grad = None
            return torch.from_numpy(work.x0).to(device)

        def forward():
            synchronise()
            with torch.no_grad():
                x1 = torchdiffeq.odeint(field, upload(), t, method=SOLVERS[method], options=options)[-1]
            x1 = x1.cpu().numpy()
            synchronise()
            return x1

        def gradient():
            synchronise()
            # A leaf of its own: the array of the workload is not to be differentiated.
            x0 = upload().detach().requires_grad_()
            targets = torch.from_numpy(work.targets).to(device)
            x1 = ADJOINTS[adjoint](field, x0, t, method=SOLVERS[method], options=options)[-1]
            loss = torch.nn.functional.mse_loss(x1, targets)
            loss.backward()
            theta = {name: parameter.grad.cpu().numpy() for name, parameter in parameters.items()}
            result = loss.item(), theta, x0.grad.cpu().numpy()
            synchronise()
            return result

        return forward if phase == "forward" else gradient

    version = f"torchdiffeq {torchdiffeq.__version__}, torch {torch.__version__}"
    workload.run(peer, version, name, list(SOLVERS), list(ADJOINTS), prepare)
