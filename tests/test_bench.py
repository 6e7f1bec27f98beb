"""The bench: what it compares computes the same, its judgement, and one small measurement end to end."""

import pytest
import torch

import momentum_exp as mx
from momentum_exp.bench.contenders import BASELINE, LOOP, Contender, groups, orthogonal_group
from momentum_exp.bench.measure import measure
from momentum_exp.bench.released_loop import ReleasedLoop
from momentum_exp.bench.targets import TARGETS, Target, arithmetic_rate, find, speed


def test_the_released_style_loop_is_momentumlstm() -> None:
    torch.manual_seed(0)
    loop = ReleasedLoop(3, 5, mu=0.6, s=0.4).double()
    layer = mx.MomentumLSTM(3, 5, mu=0.6, s=0.4, dtype=torch.float64)
    layer.load_state_dict(
        {
            "weight_ih_l0": loop.w_ih,
            "weight_hh_l0": loop.w_hh,
            "bias_ih_l0": loop.b_ih,
            "bias_hh_l0": loop.b_hh,
        }
    )
    x_TBD = torch.randn(7, 2, 3, dtype=torch.float64)
    torch.testing.assert_close(loop(x_TBD)[0], layer(x_TBD)[0])


def test_a_measurement_in_turn() -> None:
    sizes = {"hidden_size": 8, "batch_size": 4, "steps": 5, "threads": 1}
    contenders = [Contender(BASELINE, **sizes), Contender(LOOP, **sizes)]
    contenders.append(Contender("native lstm momentum", **sizes, norms=True))
    rows = measure(contenders, repeats=3, warm_up=1)
    assert [row["label"] for row in rows] == [BASELINE, LOOP, "native lstm momentum, gradient norms"]
    for row in rows:
        assert len(row["forward_ms"]) == len(row["training_ms"]) == 3
        assert min(row["training_ms"]) > 0
        assert row["product_gflops"]["torch.mm"] > 0
    assert rows[0]["training_ratio"] == 1


def test_every_target_names_contenders_that_are_measured() -> None:
    """With equal times and memory for all, every ratio is 1, and every target can be computed."""
    everything = [group for size in (128, 256) for group in groups(size)]
    everything += [orthogonal_group(size) for size in (170, 512)]
    rows = [
        {
            **contender.facts(),
            "label": contender.label,
            "group": number,
            "training_ms": [100.0, 100.0],
            "training_median_ms": 100.0,
            "peak_mb": 7.0,
            "product_gflops": {"torch.mm": 1.0, "oneDNN": 2.0},
        }
        for number, group in enumerate(everything)
        for contender in group
    ]
    values = {target.what: target.value(rows) for target in TARGETS}
    rate = arithmetic_rate(find(rows, "native lstm momentum", 256))
    assert rate == pytest.approx(3 * 2 * 128 * 256 * 1024 * 784 / 0.1 / 1e9)
    assert values.pop("fraction of the measured product rate, N 256") == pytest.approx(rate / 2)
    assert set(values.values()) == {1.0}


def test_speed_is_the_median_of_ratios_within_a_group() -> None:
    def row(group: int, label: str, times: list[float]) -> dict[str, object]:
        return {"group": group, "label": label, "hidden_size": 4, "training_ms": times}

    rows = [row(0, "a", [9.0, 9.0, 9.0]), row(1, "a", [2.0, 8.0, 6.0]), row(1, "b", [1.0, 2.0, 6.0])]
    assert speed("a", "b", 4)(rows) == 2.0


@pytest.mark.parametrize(
    ("at_most", "value", "verdict"),
    [(False, 1.6, "aim"), (False, 1.3, "must"), (False, 1.1, "missed"), (True, 1.1, "aim"), (True, 1.61, "missed")],
)
def test_verdicts(at_most: bool, value: float, verdict: str) -> None:
    must, aim = (1.6, 1.2) if at_most else (1.2, 1.6)
    assert Target("", must, aim, lambda _: 0.0, at_most).verdict(value) == verdict
