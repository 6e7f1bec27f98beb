"""The metric that each task is selected and reported by: its name, its direction, and how it is written."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """`name` as in the records (`test_<name>`), `label` for people, `form` for one value (`str.format`).

    higher: whether a higher value is better. scale: from the record's unit to the label's (100: fraction to %).
    loss: what the loss beside it is, with its unit.
    """

    name: str
    label: str
    higher: bool
    form: str
    scale: float = 1.0
    loss: str = "cross-entropy (nats)"

    def show(self, value: float | None) -> str:
        """A value as people read it; `--` for one that is not there."""
        return "--" if value is None else self.form.format(self.scale * value)

    def number(self, scaled: float) -> str:
        """A value already in the label's unit, without the unit."""
        return self.form.format(scaled).removesuffix("%")


METRICS = {
    "classification": Metric("accuracy", "accuracy (%)", higher=True, form="{:.2f}%", scale=100),
    "language_model": Metric("perplexity", "perplexity", higher=False, form="{:.2f}"),
    "sequence_labelling": Metric("loss", "cross-entropy (nats)", higher=False, form="{:.5f}"),
    "frame_prediction": Metric("loss", "MSE (dB²)", higher=False, form="{:.2f}", loss="MSE (dB²)"),
    "regression": Metric("loss", "mean squared error", higher=False, form="{:.5f}", loss="mean squared error"),
}
"""By task.name. Kept apart from the tasks, so that records can be read without them."""
