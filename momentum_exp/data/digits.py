"""Pixel digits: scikit-learn's 1,797 handwritten digits, carried inside its package (no network)."""

from pathlib import Path

import numpy as np
import torch

from momentum_exp.config import DataConfig
from momentum_exp.data.labelled import Labelled, Split, arranged, hold_out

SPLIT_SEED = 0
NUM_TEST = 360
NUM_VALIDATION = 180

OPTIONS = ("permutation", "validation", "limit")


def load(config: DataConfig, root: Path, run_seed: int) -> Labelled:
    """8 x 8 images read row by row: T = 64 steps of D = 1 feature, in [0, 1]; 10 classes.

    The rows are put in the order RandomState(0).permutation(1797) and cut: 1257 train, 180 validation, 360
    test. A number for data.validation moves the cut between the first two. The same people wrote rows of all
    three, so the test score says nothing about unknown writers.

    `root` is not used. Raises UserError if data.validation is out of range (0 to 1436).
    """
    from sklearn.datasets import load_digits  # takes a second: paid only by those who use it

    pixels, labels = load_digits(return_X_y=True)
    order = np.random.RandomState(SPLIT_SEED).permutation(len(labels))
    inputs_NTD = torch.from_numpy(pixels[order]).float().div(16).unsqueeze(-1)
    targets = torch.from_numpy(labels[order]).long()

    test = Split(inputs_NTD[-NUM_TEST:], targets[-NUM_TEST:])
    train = Split(inputs_NTD[:-NUM_TEST], targets[:-NUM_TEST])
    train, val = hold_out(train, NUM_VALIDATION if config.validation is None else config.validation)
    return arranged(Labelled(train, val, test, num_features=1, num_classes=10), config, run_seed)
