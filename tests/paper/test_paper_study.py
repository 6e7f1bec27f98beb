"""Studies: what is run for tables, figures and claims."""

from dataclasses import replace

import pytest

from momentum_exp.errors import UserError
from momentum_exp.paper import study
from momentum_exp.paper.study import SCALES, load_study, parse_seeds, plan, study_names, written_seeds


@pytest.mark.parametrize("name", study_names())
def test_every_study_is_planned_at_every_scale(name):
    """Arms compose, none twice, each with the identity that the command beside it has; scales never share a run."""
    one, seen = load_study(name), set()
    arms = list(one.arms)
    for scale in SCALES:
        few = arms[:1] + arms[-1:] if name.startswith("ablation") else arms  # 25 arms that differ in mu and s alone
        runs = plan(one, scale, [0, 3], few)
        assert [(run.arm, run.seed) for run in runs] == [
            (arm, seed) for arm in few if arm in one.at(scale) for seed in (0, 3)
        ]
        hashes = {run.identity.hash for run in runs}
        assert len(hashes) == len(runs)
        assert not hashes & seen
        seen |= hashes
        assert (scale == "full") or all(one.scales[scale].says for _ in runs)


@pytest.mark.parametrize(("text", "seeds"), [("5", [0, 1, 2, 3, 4]), ("1", [0]), ("0,2,3", [0, 2, 3]), ("7,", [7])])
def test_seeds(text, seeds):
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize("seeds", [[0], [7], [0, 1, 2], [0, 2, 3], [1, 2]])
def test_written_seeds_are_read_back(seeds):
    assert parse_seeds(written_seeds(seeds)) == seeds


@pytest.mark.parametrize("text", ["", "0", "-1", "a", "1,1", "1,,", "0;1", ",", "-1,2", "1.5", "1_0", "1001"])
def test_what_is_no_list_of_seeds_is_refused(text):
    with pytest.raises(UserError, match="Write SEEDS=5, SEEDS=0,2,3 or"):
        parse_seeds(text)


def test_unknown_names_offer_the_nearest():
    with pytest.raises(UserError, match=r"no such study.*Write pmnist"):
        load_study("pmnst")
    with pytest.raises(UserError, match="Write momentumlstm"):
        plan(load_study("pmnist"), "smoke", [0], ["momentumlst"])
    with pytest.raises(UserError, match="SCALE=big: takes full, reduced, smoke"):
        plan(load_study("pmnist"), "big", [0])


@pytest.mark.parametrize("seed", [-1, 2**32, 5000000000])
def test_a_seed_that_no_run_takes_is_refused(seed):
    with pytest.raises(UserError, match=rf"SEEDS: seed={seed} is not allowed.*0 <= seed <= 4294967295"):
        plan(load_study("pdigits"), "smoke", [0, seed], ["lstm"])


def test_two_arms_of_one_configuration_are_refused():
    one = load_study("pdigits")
    twins = {**one.arms, "twin": one.arms["lstm"]}
    with pytest.raises(UserError, match=r"pdigits at .* lstm and twin are one configuration .*study/pdigits\.yaml"):
        plan(replace(one, arms=twins), "smoke", [0], ["lstm", "twin"])


def test_a_title_says_which_data_are_run():
    one = load_study("mnist")
    assert [one.title_at(scale) for scale in SCALES] == ["Pixel MNIST", "Pixel MNIST", "Digits"]
    assert load_study("ablation_ptb").title_at("smoke") == load_study("ablation_ptb").title


def test_momentum_that_does_nothing_is_the_plain_cell():
    one = load_study("pdigits")
    idle = replace(one.arms["momentumlstm"], overrides=["cell=momentumlstm", "cell.mu=0.0", "cell.s=1.0"])
    with pytest.raises(UserError, match="lstm and idle are one configuration under two labels"):
        plan(replace(one, arms={**one.arms, "idle": idle}), "smoke", [0], ["lstm", "idle"])


def test_two_arms_of_one_label_are_refused(tmp_path, monkeypatch):
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "twins.yaml").write_text(
        "title: T\nscales: {full: {}}\n"
        "arms: {a: {label: LSTM, overrides: []}, b: {label: LSTM, overrides: [cell=lstm]}}\n"
    )
    monkeypatch.setattr(study, "conf_dir", lambda: tmp_path)
    with pytest.raises(UserError, match="arms a and b have one label, LSTM; mend conf"):
        load_study("twins")
