"""What 16-bit operands would cost: dJ/dtheta of 2-64-64-2 tanh with weights, activations and deltas rounded, sums in f64.

    pip install torch numpy
    python benches/precision.py
"""

import torch

WIDTHS = (2, 64, 64, 2)
STEPS, BATCH = 20, 256


class Rounded(torch.autograd.Function):
    """Operands of products are rounded on the way there, deltas on the way back."""

    @staticmethod
    def forward(ctx, x, kind):
        ctx.kind = kind
        return x.to(kind).to(x.dtype)

    @staticmethod
    def backward(ctx, delta):
        return delta.to(ctx.kind).to(delta.dtype), None


def gradient(layers, x, method, kind):
    """dJ/dtheta of the mean square of x(1)."""
    layers = [(w.clone().requires_grad_(), b.clone().requires_grad_()) for w, b in layers]

    def rounded(v):
        return v if kind is None else Rounded.apply(v, kind)

    def field(x):
        for i, (w, b) in enumerate(layers):
            x = rounded(x) @ rounded(w).T + b
            x = torch.tanh(x) if i + 1 < len(layers) else x
        return x

    h = 1.0 / STEPS
    for _ in range(STEPS):
        if method == "euler":
            x = x + h * field(x)
        else:
            k1 = field(x)
            k2 = field(x + h / 2 * k1)
            k3 = field(x + h / 2 * k2)
            k4 = field(x + h * k3)
            x = x + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    x.square().mean().backward()
    return torch.cat([p.grad.flatten() for layer in layers for p in layer])


def main():
    torch.manual_seed(0)
    x = torch.randn(BATCH, WIDTHS[0], dtype=torch.float64)
    layers = [
        tuple((torch.rand(*shape, dtype=torch.float64) * 2 - 1) / n_in**0.5 for shape in ((n_out, n_in), (n_out,)))
        for n_in, n_out in zip(WIDTHS, WIDTHS[1:])
    ]
    for method in ("euler", "rk4"):
        exact = gradient(layers, x, method, None)
        for kind in (torch.float16, torch.bfloat16, torch.float32):
            error = (gradient(layers, x, method, kind) - exact).norm() / exact.norm()
            print(f"{method:6} {str(kind):15} relative L2 error of dJ/dtheta {error:.1e}")


if __name__ == "__main__":
    main()
