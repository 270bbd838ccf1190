"""The workload in diffrax, jitted as a whole: one solve of a state [batch, 2], hence with matrix products.

diffrax has no classic Runge–Kutta method; its explicit Runge–Kutta base class with that tableau is one.
"""

import os
from typing import ClassVar

import diffrax
import jax
import jax.numpy as jnp
import numpy as np

import workload


class Rk4(diffrax.AbstractERK):
    """The classic method of order 4. Steps are fixed, hence it needs no error estimate."""

    tableau: ClassVar[diffrax.ButcherTableau] = diffrax.ButcherTableau(
        c=np.array([0.5, 0.5, 1.0]),
        a_lower=(np.array([0.5]), np.array([0.0, 0.5]), np.array([0.0, 0.0, 1.0])),
        b_sol=np.array([1.0, 2.0, 2.0, 1.0]) / 6.0,
        b_error=np.zeros(4),
    )
    interpolation_cls: ClassVar = diffrax.ThirdOrderHermitePolynomialInterpolation.from_k

    def order(self, terms):
        del terms
        return 4


SOLVERS = {"euler": diffrax.Euler, "rk4": Rk4}


def field(_t, x, theta):
    *hidden, (weight, bias) = zip(theta[::2], theta[1::2])
    for w, b in hidden:
        x = jnp.tanh(x @ w.T + b)
    return x @ weight.T + bias


def run(peer, adjoint_name, adjoint):
    # f32 throughout: no TF32 on GPUs that have it.
    jax.config.update("jax_default_matmul_precision", "highest")
    device = jax.devices()[0]

    def solve(method, theta, x0):
        # More than max_steps, by a rounding of t, would be an error.
        solution = diffrax.diffeqsolve(
            diffrax.ODETerm(field),
            SOLVERS[method](),
            t0=0.0,
            t1=1.0,
            dt0=1.0 / workload.STEPS,
            y0=x0,
            args=theta,
            saveat=diffrax.SaveAt(t1=True),
            stepsize_controller=diffrax.ConstantStepSize(),
            adjoint=adjoint,
            max_steps=workload.STEPS,
        )
        return solution.ys[-1], solution.stats["num_steps"]

    def prepare(work, method, _adjoint, phase):
        theta = tuple(work.weights[name] for name in workload.names())

        def loss(theta, x0, targets):
            x1, _ = solve(method, theta, x0)
            return jnp.mean((x1 - targets) ** 2)

        jitted_solve = jax.jit(lambda theta, x0: solve(method, theta, x0))
        jitted_gradient = jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))
        steps = int(jitted_solve(theta, work.x0)[1])
        assert steps == workload.STEPS, f"{steps} steps instead of {workload.STEPS}"

        def forward():
            x1, _ = jax.block_until_ready(jitted_solve(theta, work.x0))
            return np.asarray(x1)

        def gradient():
            value, (d_theta, d_x0) = jax.block_until_ready(jitted_gradient(theta, work.x0, work.targets))
            by_name = {name: np.asarray(g) for name, g in zip(workload.names(), d_theta)}
            return float(value), by_name, np.asarray(d_x0)

        return forward if phase == "forward" else gradient

    version = f"diffrax {diffrax.__version__}, jax {jax.__version__}"
    name = device.device_kind if device.platform != "cpu" else f"cpu, {os.cpu_count()} cores"
    workload.run(peer, version, name, list(SOLVERS), [adjoint_name], prepare)
