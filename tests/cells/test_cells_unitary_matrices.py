"""The unitary cells' matrices: unitary for all parameters, explicit products, how many they reach, Wisdom's update."""

import numpy as np
import pytest
import torch
from double_precision import data
from unitary_layers import H, close

from momentum_exp.cells import after_step
from momentum_exp.cells.constraints.fourier import FourierProduct
from momentum_exp.cells.constraints.full_unitary import FullUnitary
from momentum_exp.cells.constraints.rotations import Rotations, butterflies, neighbours

CONSTRAINTS = {
    "fourier": FourierProduct,
    "full": FullUnitary,
    "rotations": lambda size: Rotations(size, neighbours(size, 3)),
    "butterflies": lambda size: Rotations(size, butterflies(size)),
}


@torch.no_grad()
def scramble(module):
    """Parameters anywhere, not only where they start."""
    for parameter in module.parameters():
        parameter.copy_(torch.randn_like(parameter))
    return module


# Products -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "size"), [(n, size) for n in CONSTRAINTS for size in (1, 2, 7, 8) if (n, size) != ("butterflies", 7)]
)
def test_the_weight_is_unitary_for_all_parameters(name, size):
    one = torch.eye(size, dtype=torch.complex128)
    constraint = CONSTRAINTS[name](size).double()
    constraint.reset_parameters()
    for _ in range(3):
        w = constraint()
        assert w.dtype == torch.complex128
        close(w @ w.mH, one)
        scramble(constraint)
    before = constraint()
    constraint.reset_parameters()
    assert not torch.equal(constraint(), before)


def test_urnn_is_the_product_of_its_seven_factors():
    """Arjovsky et al. 2016, equation 6, every factor a matrix of its own."""
    size = 6
    constraint = scramble(FourierProduct(size).double())
    j = np.arange(size)
    fourier = np.exp(-2j * np.pi * np.outer(j, j) / size) / np.sqrt(size)
    d1, d2, d3 = (np.diag(np.exp(1j * theta)) for theta in constraint.theta.detach().numpy())
    parts = constraint.v.detach().numpy()
    r1, r2 = (np.eye(size) - 2 * np.outer(v, v.conj()) / np.vdot(v, v) for v in parts[..., 0] + 1j * parts[..., 1])
    permutation = np.eye(size)[constraint.permutation.numpy()]
    assert sorted(constraint.permutation.tolist()) == j.tolist()
    expected = d3 @ r2 @ fourier.conj().T @ d2 @ permutation @ r1 @ fourier @ d1
    np.testing.assert_allclose(constraint().detach().numpy(), expected, atol=1e-13)


@pytest.mark.parametrize(
    ("size", "layers"), [(6, neighbours(6, 4)), (5, neighbours(5, 3)), (8, butterflies(8))], ids=["even", "odd", "fft"]
)
def test_eunn_is_the_product_of_its_rotations(size, layers):
    constraint = scramble(Rotations(size, layers).double())
    expected, place = np.eye(size), 0
    for pairs in layers:
        factor = np.eye(size, dtype=complex)
        assert len({unit for pair in pairs for unit in pair}) == 2 * len(pairs)
        for a, b in pairs:
            theta, turn = constraint.theta[place].item(), np.exp(1j * constraint.phi[place].item())
            factor[a, a], factor[a, b] = np.cos(theta), -turn * np.sin(theta)
            factor[b, a], factor[b, b] = np.sin(theta), turn * np.cos(theta)
            place += 1
        expected = factor @ expected
    expected = np.diag(np.exp(1j * constraint.omega.detach().numpy())) @ expected
    assert place == len(constraint.theta)
    np.testing.assert_allclose(constraint().detach().numpy(), expected, atol=1e-14)


def rank(constraint):
    """Directions in which the weight moves with the free parameters, at a generic point."""
    parameters = {name: p.detach() for name, p in scramble(constraint.double()).named_parameters()}

    def weight(values):
        return torch.view_as_real(torch.func.functional_call(constraint, values))

    jacobian = torch.func.jacrev(weight)(parameters)
    columns = [part.reshape(-1, p.numel()) for part, p in zip(jacobian.values(), parameters.values(), strict=True)]
    return int(torch.linalg.matrix_rank(torch.cat(columns, 1), rtol=1e-9))


@pytest.mark.parametrize("layers", [2, 4, 6])
def test_eunn_uses_every_parameter_and_reaches_all_unitary_matrices_at_full_capacity(layers):
    size = 6
    constraint = Rotations(size, neighbours(size, layers))
    count = sum(p.numel() for p in constraint.parameters())
    assert count == size * (layers + 1) - layers
    assert rank(constraint) == count
    assert (count == size**2) == (layers == size)


def test_dimensions_of_the_other_sets():
    fft = Rotations(8, butterflies(8))
    assert rank(fft) == sum(p.numel() for p in fft.parameters()) == 8 * 3 + 8
    assert rank(FullUnitary(5)) == 25
    restricted = FourierProduct(8)
    assert sum(p.numel() for p in restricted.parameters()) == 7 * 8
    assert rank(restricted) < 7 * 8


# Full capacity ------------------------------------------------------------------------------------------------


def test_full_urnn_reaches_a_given_unitary_matrix():
    size = 5
    constraint = FullUnitary(size).double()
    goal, base = (FourierProduct(size).double()().detach() for _ in range(2))
    q, one = goal @ base.mH, torch.eye(size)
    z = 2 * torch.linalg.solve(one + q, one - q)
    with torch.no_grad():
        constraint.base.copy_(torch.view_as_real(base))
        constraint.X.copy_((z.real + z.imag) / 2**0.5)
    close(constraint(), goal, 1e-10)


def test_sgd_on_full_urnn_is_wisdom_s_multiplicative_update():
    """Equations 8 and 9 of Wisdom et al. 2016, the step size that of SGD."""
    size, rate = 5, 0.3
    constraint = FullUnitary(size).double()
    constraint.reset_parameters()
    w, target = constraint().detach().requires_grad_(), torch.randn(size, size, dtype=torch.complex128)

    def loss(w):
        return (w - target).abs().pow(3).sum()

    (g,) = torch.autograd.grad(loss(w), w)
    a, one = g @ w.mH - w @ g.mH, torch.eye(size)
    loss(constraint()).backward()
    close(constraint.X.grad, -(a.real + a.imag).detach() / 2**0.5)
    close(constraint.X.grad.norm(), torch.linalg.matrix_norm(a.detach()) / 2**0.5)
    torch.optim.SGD([constraint.X], lr=rate).step()
    close(constraint(), torch.linalg.solve(one + rate / 2 * a, one - rate / 2 * a) @ w)


def test_full_urnn_rebases_after_each_step_and_projects_after_some():
    constraint = FullUnitary(H, project=3).double()
    with torch.no_grad():
        constraint.base += 1e-3 * torch.randn_like(constraint.base)
    one = torch.eye(H, dtype=torch.complex128)
    for step in (1, 2, 3):
        with torch.no_grad():
            constraint.X += 0.1 * data(H, H)
        before = constraint().detach()
        after_step(constraint)
        assert not constraint.X.any()
        error = (constraint() @ constraint().mH - one).abs().max()
        assert (error < 1e-12) == (step == 3)
        close(constraint(), before, 1e-12 if step < 3 else 1e-2)
