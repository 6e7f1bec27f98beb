"""Measurements of batches of different lengths lie in one array."""

from pathlib import Path

import numpy as np

from momentum_exp.config import DiagnosticsConfig
from momentum_exp.diagnostics.recorder import FILE, Diagnostics


def test_a_shorter_row_ends_in_nan(tmp_path: Path) -> None:
    diagnostics = Diagnostics(DiagnosticsConfig(), tmp_path)
    rows = [[1.0, 2.0], [3.0, 4.0, 5.0], [6.0]]
    diagnostics.steps, diagnostics.rows = [1, 3, 5], {"h_l0": [np.array(row, np.float32) for row in rows]}
    diagnostics.save()
    with np.load(tmp_path / FILE) as arrays:
        saved = arrays["h_l0"]
    nan = np.nan
    np.testing.assert_array_equal(saved, np.float32([[1, 2, nan], [3, 4, 5], [6, nan, nan]]))
    again = Diagnostics(DiagnosticsConfig(), tmp_path)
    again.resume(3)
    again.steps.append(5)
    again.rows["h_l0"].append(np.float32([6]))
    again.save()
    with np.load(tmp_path / FILE) as arrays:
        np.testing.assert_array_equal(arrays["h_l0"], saved)
