"""The embedded digits, and what `load_dataset` does for every data set."""

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from momentum_exp.config import DataConfig
from momentum_exp.data import load_dataset
from momentum_exp.data.labelled import Labelled, Split
from momentum_exp.data.permutation import pixel_permutation
from momentum_exp.errors import UserError


def digits(
    *,
    name: str = "digits",
    permutation: str | int | None = None,
    validation: int | None = None,
    limit: int | None = None,
    run_seed: int = 0,
) -> Labelled:
    config = DataConfig(name=name, permutation=permutation, validation=validation, limit=limit)
    dataset = load_dataset(config, Path("unused"), run_seed)
    assert isinstance(dataset, Labelled)
    return dataset


def splits(dataset: Labelled) -> list[Split]:
    assert dataset.val is not None
    return [dataset.train, dataset.val, dataset.test]


def test_sizes_types_and_range() -> None:
    dataset = digits()
    assert [len(split) for split in splits(dataset)] == [1257, 180, 360]
    assert (dataset.num_features, dataset.num_classes) == (1, 10)
    for split in splits(dataset):
        assert split.inputs_NTD.shape == (len(split), 64, 1)
        assert split.inputs_NTD.dtype == torch.float32
        assert split.targets.dtype == torch.int64
        assert (split.inputs_NTD.min(), split.inputs_NTD.max()) == (0, 1)


def test_the_splits_part_the_whole_set_and_each_has_all_classes() -> None:
    def rows(inputs: torch.Tensor, targets: torch.Tensor) -> list[list[int]]:
        return torch.cat([inputs, targets.unsqueeze(1)], dim=1).long().tolist()

    parts = splits(digits())
    together = [row for split in parts for row in rows(split.inputs_NTD.squeeze(-1) * 16, split.targets)]
    pixels, labels = load_digits(return_X_y=True)
    assert sorted(together) == sorted(rows(torch.from_numpy(pixels), torch.from_numpy(labels)))
    for split in parts:
        share = split.targets.bincount(minlength=10) / len(split)
        assert share.min() > 0.05
        assert share.max() < 0.16


def test_the_order_of_the_rows_is_the_documented_one() -> None:
    order = np.random.RandomState(0).permutation(1797)
    targets = torch.cat([split.targets for split in splits(digits())])
    assert targets.tolist() == load_digits().target[order].tolist()


def test_the_split_does_not_depend_on_the_runs_seed() -> None:
    for first, second in zip(splits(digits(run_seed=0)), splits(digits(run_seed=1)), strict=True):
        assert torch.equal(first.inputs_NTD, second.inputs_NTD)
        assert torch.equal(first.targets, second.targets)


def test_validation_moves_the_cut_and_never_touches_the_test_rows() -> None:
    usual, more, none = digits(), digits(validation=400), digits(validation=0)
    assert more.val is not None
    assert usual.val is not None
    assert (len(more.train), len(more.val)) == (1037, 400)
    assert torch.equal(more.val.targets[-180:], usual.val.targets)
    assert none.val is None
    assert len(none.train) == 1437
    assert torch.equal(none.test.inputs_NTD, usual.test.inputs_NTD)
    with pytest.raises(UserError, match=r"data\.validation=1437: .*to 1436"):
        digits(validation=1437)


@pytest.mark.parametrize("limit", [None, 20])
def test_the_permutation_is_applied_to_every_split_alike(limit: int | None) -> None:
    order_T = pixel_permutation("released", 64, 3)
    plain, permuted = digits(limit=limit), digits(permutation="released", limit=limit, run_seed=3)
    for before, after in zip(splits(plain), splits(permuted), strict=True):
        assert torch.equal(after.inputs_NTD, before.inputs_NTD[:, order_T])
        assert torch.equal(after.targets, before.targets)


def test_limit_keeps_the_first_rows_of_every_split() -> None:
    for whole, part in zip(splits(digits()), splits(digits(limit=7)), strict=True):
        assert torch.equal(part.inputs_NTD, whole.inputs_NTD[:7])
        assert torch.equal(part.targets, whole.targets[:7])


@pytest.mark.parametrize("limit", [0, -3])
def test_a_limit_below_one_is_refused(limit: int) -> None:
    with pytest.raises(UserError, match=rf"data\.limit={limit}: .*1 or more"):
        digits(limit=limit)


@pytest.mark.parametrize("name", ["dataset", "permutation", "cifar", ""])
def test_what_is_no_data_set_is_refused_with_those_there_are(name: str) -> None:
    with pytest.raises(
        UserError, match=rf"data\.name={name}: there is adding, copying, digits, mnist.*; write .*data\.name="
    ):
        digits(name=name)
