"""Learned mu, s and beta: where they start, their range, their gradient, and what they ask of everything around."""

import itertools

import pytest
import torch
from double_precision import data

import momentum_exp as mx
from momentum_exp.cells.options import learnable

D, H, T, B = 3, 4, 6, 2
LEARNED = {"momentum": ["mu", "s"], "nesterov": ["s"], "rmsprop": ["s", "beta"], "adam": ["mu", "s", "beta"]}


def make(dynamics="adam", recurrence="lstm", learn_per="layer", learn=None, **keywords):
    learn = LEARNED[dynamics] if learn is None else learn
    return mx.Recurrent(D, H, recurrence=recurrence, dynamics=dynamics, learn=learn, learn_per=learn_per, **keywords)


def values(layer):
    """What is learned, as tensors by name."""
    return {name: getattr(layer, name) for name in layer.learned_values()}


def free(layer):
    """The parameters behind the learned values."""
    return {name: layer.get_parameter(f"parametrizations.{name}.original") for name in layer.learned_values()}


def test_what_can_be_learned():
    assert {name: learnable(name) for name in ("identity", *LEARNED)} == {"identity": [], **LEARNED}


@pytest.mark.parametrize(("learn_per", "shape"), [("layer", ()), ("gate", (4,))])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_one_value_for_each_layer_and_direction_or_gate(learn_per, shape, bidirectional):
    layer = make(learn_per=learn_per, num_layers=2, bidirectional=bidirectional)
    places = ["l0", "l0_reverse", "l1", "l1_reverse"] if bidirectional else ["l0", "l1"]
    assert list(values(layer)) == [f"{name}_{place}" for place in places for name in LEARNED["adam"]]
    assert {value.shape for value in values(layer).values()} == {shape}
    assert {len(numbers) for numbers in layer.learned_values().values()} == {4 if shape else 1}
    one_block = make(learn_per=learn_per, recurrence="rnn", learn=["mu", "mu"])  # written twice, learned once
    assert {name: len(numbers) for name, numbers in one_block.learned_values().items()} == {"mu_l0": 1}


@pytest.mark.parametrize("learn_per", ["layer", "gate"])
@pytest.mark.parametrize(("mu", "started_mu"), [(0.0, 0.001), (0.6, 0.6), (0.9999, 0.999)])
@pytest.mark.parametrize(("s", "started_s"), [(1e-6, 0.001), (0.6, 0.6), (50.0, 50.0)])
def test_they_start_where_the_options_put_them(learn_per, mu, started_mu, s, started_s):
    layer = make(mu=mu, s=s, beta=mu, learn_per=learn_per)
    started = {"mu_l0": started_mu, "s_l0": started_s, "beta_l0": started_mu}
    for again in (False, True):
        if again:
            with torch.no_grad():
                for parameter in free(layer).values():
                    parameter += 1
            layer(torch.randn(3, 2, layer.input_size))  # a call leaves the start values alone
            assert layer.mu_l0.flatten()[0] > started_mu
            layer.reset_parameters()
        for name, value in values(layer).items():
            torch.testing.assert_close(value, torch.full_like(value, started[name]), rtol=1e-5, atol=0)


@pytest.mark.parametrize("direction", [-1, 1])
@pytest.mark.parametrize("learn_per", ["layer", "gate"])
def test_they_stay_in_range_after_200_wild_steps(learn_per, direction):
    """All the way to one side, where a float32 sigmoid is 1 and an exponential 0 or infinite."""
    layer = make(learn_per=learn_per)
    optimizer = torch.optim.Adam(layer.parameters(), lr=1.0)
    for _ in range(200):
        optimizer.zero_grad()
        sum(direction * parameter.sum() for parameter in free(layer).values()).backward()
        optimizer.step()
    assert all(value.min() > 0 and value.max() < 1 for value in (layer.mu_l0, layer.beta_l0))
    assert layer.s_l0.min() > 0
    assert layer.s_l0.isfinite().all()
    assert layer(torch.zeros(T, B, D))[0].isfinite().all()


def lstm_by_a_loop(layer, x_TBD, mu=0.0, s=1.0, beta=0.0):
    """An LSTM driven by what the values given make of W x + b, written out; each value (), or (4 H,)."""
    w_ih, w_hh, b_ih, b_hh, _ = layer.weights(0)
    h_BH = c_BH = x_TBD.new_zeros(x_TBD.shape[1], H)
    v_BG = m_BG = x_TBD.new_zeros(x_TBD.shape[1], 4 * H)
    outputs, name = [], layer.dynamics.name
    for t, x_BD in enumerate(x_TBD):
        g_BG = x_BD @ w_ih.T + b_ih
        if name == "nesterov":
            mu = t / (t + 3)
        v_BG = mu * v_BG + s * g_BG
        m_BG = beta * m_BG + (1 - beta) * g_BG**2
        u_BG = v_BG if name in ("momentum", "nesterov") else v_BG / (m_BG + 1e-16).sqrt()
        i_BH, f_BH, z_BH, o_BH = (u_BG + h_BH @ w_hh.T + b_hh).chunk(4, 1)
        c_BH = f_BH.sigmoid() * c_BH + i_BH.sigmoid() * z_BH.tanh()
        h_BH = o_BH.sigmoid() * c_BH.tanh()
        outputs.append(h_BH)
    return torch.stack(outputs)


@pytest.mark.parametrize("learn_per", ["layer", "gate"])
@pytest.mark.parametrize("dynamics", LEARNED)
def test_their_gradient_equals_an_explicit_loop_s(dynamics, learn_per):
    """dL/d free = dL/d value times the slope of the parametrization: mu (1 - mu), s, beta (1 - beta)."""
    layer = make(dynamics, learn_per=learn_per, dtype=torch.float64)
    with torch.no_grad():
        for parameter in free(layer).values():
            parameter += 0.3 * torch.randn_like(parameter)  # each gate has a value of its own
    x_TBD = data(T, B, D)
    y_TBH, _ = layer(x_TBD)
    y_TBH.sin().sum().backward()

    leaves = {name: value.detach().requires_grad_() for name, value in values(layer).items()}
    wide = {n: value.repeat_interleave(H) if learn_per == "gate" else value for n, value in leaves.items()}
    expected_TBH = lstm_by_a_loop(layer, x_TBD, **{name.removesuffix("_l0"): value for name, value in wide.items()})
    expected_TBH.sin().sum().backward()
    torch.testing.assert_close(y_TBH, expected_TBH, rtol=1e-10, atol=1e-12)
    for name, parameter in free(layer).items():
        value = leaves[name].detach()
        slope = value if name == "s_l0" else value * (1 - value)
        assert parameter.grad.abs().min() > 0
        torch.testing.assert_close(parameter.grad, leaves[name].grad * slope, rtol=1e-9, atol=1e-12)


def test_each_layer_and_direction_has_the_gradient_of_its_own_values():
    layer = make("momentum", num_layers=2, bidirectional=True, dtype=torch.float64)
    x_TBD = data(T, B, D)
    layer(x_TBD)[0].sin().sum().backward()
    gradients = [parameter.grad.item() for parameter in free(layer).values()]
    assert all(abs(a - b) > 1e-6 for a, b in itertools.combinations(gradients, 2))


@pytest.mark.parametrize("wrapped", [False, True], ids=["alone", "in a model"])
@pytest.mark.parametrize("learn_per", ["layer", "gate"])
def test_a_state_dict_of_torch_s_lstm_loads_and_leaves_the_values(learn_per, wrapped):
    torchs, ours = torch.nn.LSTM(D, H, 2), make(num_layers=2, mu=0.3, learn_per=learn_per)
    with torch.no_grad():
        ours.parametrizations["mu_l1"].original.fill_(1.0)
    before = ours.learned_values()
    if wrapped:
        torch.nn.ModuleDict({"cell": ours}).load_state_dict(torch.nn.ModuleDict({"cell": torchs}).state_dict())
    else:
        ours.load_state_dict(torchs.state_dict())
    assert ours.learned_values() == before
    assert all(torch.equal(ours.get_parameter(name), weight) for name, weight in torchs.named_parameters())
    missing = {name: weight for name, weight in torchs.state_dict().items() if name != "bias_hh_l1"}
    with pytest.raises(RuntimeError, match="bias_hh_l1"):
        ours.load_state_dict(missing)


@pytest.mark.parametrize("learn_per", ["layer", "gate"])
def test_a_state_dict_of_its_own_brings_the_values_along(learn_per):
    layer, other = make(learn_per=learn_per), make(learn_per=learn_per)
    with torch.no_grad():
        for parameter in free(layer).values():
            parameter += torch.randn_like(parameter)
    assert other.learned_values() != layer.learned_values()
    other.load_state_dict(layer.state_dict())
    assert other.learned_values() == layer.learned_values()
    x_TBD = torch.randn(T, B, D)
    assert torch.equal(other(x_TBD)[0], layer(x_TBD)[0])
    part = {name: tensor for name, tensor in layer.state_dict().items() if "beta" not in name}
    with pytest.raises(RuntimeError, match="beta_l0"):
        other.load_state_dict(part)


def test_groups_of_parameters():
    """By what an optimizer should do with them, every parameter in one."""
    torch.manual_seed(0)
    model = torch.nn.ModuleList([make(), make("momentum", "dtriv"), mx.ExpRNN(D, H), torch.nn.Linear(H, 2)])
    groups = mx.parameter_groups(model)
    names = {parameter: name for name, parameter in model.named_parameters()}
    learned, orthogonal = ([names[parameter] for parameter in groups[name]] for name in ("dynamics", "orthogonal"))
    assert sorted(learned) == sorted(
        f"{layer}.parametrizations.{name}_l0.original"
        for layer, dynamics in (("0", "adam"), ("1", "momentum"))
        for name in LEARNED[dynamics]
    )
    assert orthogonal == ["1.weight_hh_l0.A", "2.weight_hh_l0.A"]
    assert {*groups["free"], *groups["dynamics"], *groups["orthogonal"]} == set(model.parameters())
    assert sum(map(len, groups.values())) == len(names)


def test_the_engine_is_the_reference():
    for engine in ("auto", "reference"):
        assert make("momentum", engine=engine).engine == "reference"
    assert make("momentum", learn=[]).engine != "reference"


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"dynamics": "momentum", "learn": ["beta"]}, "learn=beta: dynamics=momentum can learn of mu, s"),
        ({"dynamics": "nesterov", "learn": ["s", "mu"]}, "learn=mu: dynamics=nesterov can learn of s"),
        ({"dynamics": "adam", "learn": ["eps"]}, "learn=eps: dynamics=adam can learn of mu, s, beta"),
        ({"learn": ["mu"]}, "learn=mu: dynamics=identity can learn nothing: leave learn out"),
        ({"dynamics": "adam", "learn": ["mu"], "learn_per": "unit"}, "learn_per=unit is unknown; write layer or gate"),
        ({"dynamics": "adam", "learn_per": "gate"}, "learn_per=gate has no effect: nothing is learned"),
        ({"dynamics": "momentum", "learn": ["mu"], "engine": "library"}, "a learned mu, s or beta needs .*engine=auto"),
        ({"dynamics": "momentum", "learn": ["mu"], "mu": 1.0}, "mu=1.0 is out of range"),
    ],
)
def test_errors(keywords, message):
    with pytest.raises(ValueError, match=message):
        mx.Recurrent(D, H, **keywords)
