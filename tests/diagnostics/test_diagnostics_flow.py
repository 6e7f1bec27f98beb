"""The gradient norm through time against backpropagation written out by hand, and the gates counted by hand."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from momentum_exp.cells import Recurrent
from momentum_exp.data import Batch
from momentum_exp.diagnostics.gradient_flow import Flow, measure_flow, watch_flow
from momentum_exp.tasks.classification import Classification

T, B, D, H, CLASSES = 5, 2, 1, 2, 3
MU, S = 0.6, 0.5


def task_of(**options: Any) -> Classification:
    torch.manual_seed(1)
    options = {"recurrence": "lstm", "dynamics": "momentum", "mu": MU, "s": S} | options
    return Classification(Recurrent(D, H, batch_first=True, **options), CLASSES).double()


def batch(rows: int = B) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    return torch.randn(rows, T, D, generator=generator, dtype=torch.float64), torch.arange(rows) % CLASSES


def watched(task: Classification, batch: Batch) -> Flow:
    """The flow of a training step."""
    with watch_flow(task, batch) as flow:
        task.evaluate(batch).loss.backward()
    return flow


def sigmoid(z: NDArray[Any]) -> NDArray[Any]:
    return 1 / (1 + np.exp(-z))


def by_hand(task: Classification, inputs: Tensor, target: int) -> dict[str, NDArray[Any]]:
    """Norms of d loss / d h_t and d c_t (T,) and the gates i, f, o (T, H) of one sample, without autograd.

    The loss is that of the sample alone: B times what the sample adds to the batch's mean.
    """
    parameters = {name: p.detach().numpy() for name, p in task.cell.named_parameters()}
    w, U = parameters["weight_ih_l0"], parameters["weight_hh_l0"]
    b_ih, b_hh = parameters["bias_ih_l0"], parameters["bias_hh_l0"]
    R, r = task.readout.weight.detach().numpy(), task.readout.bias.detach().numpy()
    x = inputs.numpy()

    v, h, c = np.zeros(4 * H), np.zeros(H), np.zeros(H)
    steps = []
    for t in range(T):
        v = MU * v + S * (w @ x[t] + b_ih)
        i, f, g, o = (v + U @ h + b_hh).reshape(4, H)
        i, f, g, o = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
        c_before, c = c, f * c + i * g
        h = o * np.tanh(c)
        steps.append((i, f, g, o, c_before, c))

    scores = np.exp(R @ h + r)
    dh = R.T @ (scores / scores.sum() - np.eye(CLASSES)[target])
    dc_next = np.zeros(H)
    dh_TH, dc_TH = np.zeros((T, H)), np.zeros((T, H))
    for t in reversed(range(T)):
        i, f, g, o, c_before, c = steps[t]
        dc = dc_next + dh * o * (1 - np.tanh(c) ** 2)
        dh_TH[t], dc_TH[t] = dh, dc
        da = np.concatenate(
            [dc * g * i * (1 - i), dc * c_before * f * (1 - f), dc * i * (1 - g**2), dh * np.tanh(c) * o * (1 - o)]
        )
        dh, dc_next = U.T @ da, dc * f
    return {
        "h_l0": np.linalg.norm(dh_TH, axis=1),
        "c_l0": np.linalg.norm(dc_TH, axis=1),
        **{name: np.stack([step[index] for step in steps]) for name, index in (("i", 0), ("f", 1), ("o", 3))},
    }


@pytest.mark.parametrize("engine", ["reference", "library", "native"])
def test_five_steps_by_hand(engine: str) -> None:
    task = task_of(engine=engine)
    inputs, targets = batch()
    flow = watched(task, Batch(inputs, targets))
    samples = [by_hand(task, inputs[b], int(targets[b])) for b in range(B)]
    assert list(flow.norms) == ["h_l0", "c_l0"]
    for name, norms_T in flow.norms.items():
        expected = np.mean([sample[name] for sample in samples], axis=0)
        assert norms_T.shape == (T,)
        assert expected.min() > 1e-4
        np.testing.assert_allclose(norms_T.numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize("engine", ["reference", "native"])
def test_the_gates_by_hand(engine: str) -> None:
    task = task_of(engine=engine)
    with torch.no_grad():
        task.cell.weight_ih_l0.mul_(20)  # far enough for some gates to saturate
    inputs, targets = batch()
    found = watched(task, Batch(inputs, targets)).gates[0, 0]
    samples = [by_hand(task, inputs[b], int(targets[b])) for b in range(B)]
    values = {gate: np.stack([sample[gate] for sample in samples]) for gate in "ifo"}
    assert found.low == {gate: pytest.approx((v < 0.05).mean()) for gate, v in values.items()}
    assert found.high == {gate: pytest.approx((v > 0.95).mean()) for gate, v in values.items()}
    assert all(0 < sum(side.values()) < 3 for side in (found.low, found.high))


def test_the_measure_does_not_depend_on_the_batch_size() -> None:
    task = task_of()
    inputs, targets = batch()
    once = measure_flow(task, Batch(inputs, targets)).norms
    thrice = measure_flow(task, Batch(inputs.repeat(3, 1, 1), targets.repeat(3))).norms
    for name in once:
        torch.testing.assert_close(thrice[name], once[name], rtol=1e-6, atol=0)


@pytest.mark.parametrize("t", range(T - 1))
def test_the_derivative_is_total(t: int) -> None:
    """Cut after step t, the rest of the sequence as a function of h_t: central differences."""
    task = task_of()
    inputs, targets = batch(1)
    _, state = task.cell(inputs[:, : t + 1])
    flow = measure_flow(task, Batch(inputs, targets))

    @torch.no_grad()
    def loss(unit: int, step: float) -> float:
        moved = state.map(Tensor.clone)
        moved.h[0, 0, unit] += step
        _, end = task.cell(inputs[:, t + 1 :], moved)
        return float(torch.nn.functional.cross_entropy(task.readout(end.h[0]), targets))

    slopes = [(loss(unit, 1e-5) - loss(unit, -1e-5)) / 2e-5 for unit in range(H)]
    assert float(flow.norms["h_l0"][t]) == pytest.approx(float(np.linalg.norm(slopes)), rel=1e-5)


@pytest.mark.parametrize("through_time", [False, True])
def test_it_leaves_everything_as_it_was(through_time: bool) -> None:
    task = task_of(num_layers=2, dropout=0.5)
    inputs, targets = batch()
    task.evaluate(Batch(inputs, targets)).loss.backward()
    gradients = {name: p.grad.clone() for name, p in task.named_parameters() if p.grad is not None}
    state, rng = copy.deepcopy(task.state_dict()), torch.get_rng_state()
    measure_flow(task, Batch(inputs, targets), through_time=through_time)
    assert torch.equal(torch.get_rng_state(), rng)
    assert task.training
    assert all(torch.equal(value, state[name]) for name, value in task.state_dict().items())
    assert len(gradients) == len(list(task.parameters()))
    for name, p in task.named_parameters():
        assert p.grad is not None
        assert torch.equal(p.grad, gradients[name])


def test_layers_and_directions_have_torch_s_names() -> None:
    inputs, targets = batch()
    flow = measure_flow(task_of(num_layers=2, bidirectional=True), Batch(inputs, targets))
    places = ("l0", "l0_reverse", "l1", "l1_reverse")
    assert set(flow.norms) == {f"{state}_{place}" for state in "hc" for place in places}
    assert set(flow.gates) == {(layer, direction) for layer in (0, 1) for direction in (0, 1)}
    assert all(norms_T.shape == (T,) and (norms_T > 0).all() for norms_T in flow.norms.values())


def test_the_reverse_direction_counts_its_own_steps() -> None:
    """Its last step reads the first input, so it is the one nearest to the loss: as h of a plain run backwards."""
    inputs, targets = batch()
    both = task_of(bidirectional=True)
    with torch.no_grad():
        both.readout.weight[:, :H] = 0  # the loss sees the reverse direction alone
    one = task_of()
    one.cell.load_state_dict(
        {name: both.cell.state_dict()[f"{name}_reverse"] for name, _ in one.cell.named_parameters()}
    )
    with torch.no_grad():
        one.readout.weight.copy_(both.readout.weight[:, H:])
        one.readout.bias.copy_(both.readout.bias)
    expected = measure_flow(one, Batch(inputs.flip(1), targets)).norms["h_l0"]
    torch.testing.assert_close(measure_flow(both, Batch(inputs, targets)).norms["h_l0_reverse"], expected)


@pytest.mark.parametrize("engine", ["reference", "native"])
def test_each_part_can_be_left_out(engine: str) -> None:
    task, (inputs, targets) = task_of(engine=engine), batch()
    found = {}
    for part in ("through_time", "gates"):
        with watch_flow(task, Batch(inputs, targets), **{part: False}) as flow:
            task.evaluate(Batch(inputs, targets)).loss.backward()
        found[part] = flow
    assert (found["through_time"].norms, list(found["through_time"].gates)) == ({}, [(0, 0)])
    assert (list(found["gates"].norms), found["gates"].gates) == (["h_l0", "c_l0"], {})
