"""The schema: every configuration key, its type, its range and its meaning, in one place.

Hydra merges the YAML files of `conf/` into these classes, so an unknown key or a wrong type is an error before
anything runs; `momentum_exp.validation` checks ranges and that each key has an effect. `None` stands for
"does not apply" or "the default that the meaning names".
"""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING

from momentum_exp.config_key import ANY, AT_LEAST_0, AT_LEAST_1, BELOW_1, POSITIVE, Allowed, key, words
from momentum_exp.metrics import METRICS


@dataclass
class CellConfig:
    """`cell`: what is trained. Shared by all cells; a key that the chosen cell has no use for stays null."""

    recurrence: str = key("lstm", "how h follows from the drive: a file of cells/recurrences", example="lstm")
    dynamics: str = key("identity", "how the drive follows from the input: cells/dynamics", example="momentum")
    hidden_size: int = key(128, "N, units of the hidden state", AT_LEAST_1, 256)
    num_layers: int = key(1, "stacked layers", AT_LEAST_1, 1)
    bidirectional: bool = key(False, "a second layer reads the sequence backwards", example=False)
    dropout: float = key(0.0, "dropout between stacked layers", BELOW_1, 0.0)
    weight_dropout: float | None = key(
        None, "dropout of entries of the recurrent weight, drawn once a call; null = 0", BELOW_1, 0.5
    )
    mu: float | None = key(None, "momentum coefficient", BELOW_1, 0.6)
    s: float | None = key(None, "step size (`epsilon` in the released code)", POSITIVE, 0.6)
    beta: float | None = key(None, "running average of squared drives (`mus` in the released code)", BELOW_1, 0.9)
    eps: str | None = key(
        None,
        "guard of the division: 1e-16 inside the root or 1e-8 outside",
        words("released", "paper"),
        "paper",
    )
    learn: list[str] | None = key(None, "which of mu, s, beta are learned, from the values given", ANY, "[mu,s]")
    learn_per: str | None = key(None, "one learned number a layer (null) or a gate", words("layer", "gate"), "gate")
    restart: int | None = key(None, "F, steps between restarts of Nesterov's k; 0 = never", AT_LEAST_0, 40)
    reset_k_per_segment: bool | None = key(
        None, "nesterov: k starts at 1 in each segment, as in the released PTB code; null = false", ANY, True
    )
    activation: str | None = key(
        None,
        "non-linearity of rnn (tanh, relu, sigmoid) and soft_orthogonal (relu, tanh, identity)",
        words("tanh", "relu", "sigmoid", "identity"),
        "relu",
    )
    skew_init: str | None = key(
        None, "orthogonal cells: start of the skew-symmetric matrix", words("cayley", "henaff"), "henaff"
    )
    rebase: int | None = key(None, "dtriv: K, optimizer steps between re-basings; 0 = infinity", AT_LEAST_0, 1)
    project: int | None = key(None, "dtriv, full_urnn: re-basings between projections of the base", AT_LEAST_1, 100)
    rotation_style: str | None = key(None, "eunn: which units are rotated together", words("tunable", "fft"), "fft")
    capacity: int | None = key(None, "eunn: L, layers of rotations, style tunable", AT_LEAST_1, 4)
    negative: int | None = key(None, "scornn: entries -1 of its diagonal; null = hidden_size // 10", AT_LEAST_0, 17)
    reflections: int | None = key(None, "ornn: m, Householder reflections; null = hidden_size", AT_LEAST_1, 16)
    margin: float | None = key(
        None, "soft_orthogonal: how far singular values may be from 1", Allowed(low=0, high=1), 0.1
    )
    r_on: float | None = key(
        None, "phased: share of its period that a unit is open for", Allowed(low=0, high=1, low_open=True), 0.05
    )
    leak: float | None = key(None, "phased: leak of a closed unit, times its phase", BELOW_1, 0.001)
    init: str = key("released", "initialisation: the release's or torch's", words("released", "torch"), "released")
    init_range: float | None = key(
        None, "init=torch: how far from 0 its uniform distribution reaches; null = 1/sqrt(N)", POSITIVE, 0.1
    )
    forget_bias: float | None = key(
        None, "value put in each of the two forget biases; null = 1 (released) or untouched (torch)", ANY, 1.0
    )
    engine: str = key(
        "auto",
        "how a layer is unrolled over time",
        words("auto", "reference", "library", "native", "cudagraph"),
        "auto",
    )


@dataclass
class DataConfig:
    """`data`: what it is trained on."""

    name: str = key(MISSING, "the data set: a file of momentum_exp/data", example="mnist")
    permutation: int | str | None = key(
        None,
        "order of the pixels: null, released (from the run's seed), fixed, bit_reversal, or a seed",
        ANY,
        "fixed",
    )
    root: str | None = key(None, "folder of the files; null = paths.data", ANY, "FOLDER", result=False)
    checksum: str | None = key(
        None, "speech: that of the recordings' names and contents; null = found", ANY, "sha0f3a5c7e9b1d2468"
    )
    protocol: str | None = key(
        None,
        "timit, timit_sample, speech: what the four switches that are null come to; null = clean",
        words("released", "clean"),
        "clean",
        result=False,
    )
    exchange_frames: bool | None = key(
        None, "speech: frame t + 1 is the input and frame t the target, as in the release", ANY, False
    )
    padding_frame: bool | None = key(
        None, "speech: a frame of padding follows each recording, as in the release", ANY, False
    )
    drop_sa_speakers: bool | None = key(
        None, "timit: leave out training speakers with `sa` in their name, as the release", ANY, False
    )
    exchange_splits: bool | None = key(
        None, "timit: validate on the core test set, test on the development set, as the release", ANY, False
    )
    validation: int | None = key(None, "rows held out from training; null = the data set's own rule", AT_LEAST_0, 5000)
    limit: int | None = key(None, "only the first rows of each split, for trials", AT_LEAST_1, 1000)
    url: str | None = key(
        None, "ptb: base address of a source to download missing files from", ANY, "https://HOST/FOLDER", result=False
    )
    bptt: int | None = key(None, "ptb: steps of a segment of text, what is backpropagated through", AT_LEAST_1, 70)
    bptt_varies: bool | None = key(
        None, "ptb: segments of random length about bptt, learning rate times length/bptt; null = false", ANY, True
    )
    length: int | None = key(None, "copying: T, the delay in steps; adding: T, steps in all", AT_LEAST_1, 100)
    symbols: int | None = key(None, "copying: different symbols, blank and delimiter apart", Allowed(low=2), 8)
    steps_per_epoch: int | None = key(None, "copying, adding: fresh batches that count as an epoch", AT_LEAST_1, 100)


@dataclass
class TaskConfig:
    """`task`: head, loss and metrics."""

    name: str = key("classification", "what is predicted", words(*METRICS), "classification")
    embedding_size: int | None = key(
        None, "language_model: entries of a word's vector; null = cell.hidden_size", AT_LEAST_1, 400
    )
    tied: bool | None = key(
        None,
        "language_model: the softmax shares the embedding, the last layer has its size; null = false",
        ANY,
        True,
    )
    dropout_embedding: float | None = key(None, "language_model: dropout of whole words; null = 0", BELOW_1, 0.1)
    dropout_input: float | None = key(
        None, "language_model: dropout of the first layer's input, one mask for all steps; null = 0", BELOW_1, 0.4
    )
    dropout_output: float | None = key(
        None, "language_model: dropout of the last layer's output, one mask for all steps; null = 0", BELOW_1, 0.4
    )
    ar: float | None = key(None, "language_model: weight of activation regularisation; null = 0", AT_LEAST_0, 2.0)
    tar: float | None = key(
        None, "language_model: weight of temporal activation regularisation; null = 0", AT_LEAST_0, 1.0
    )


@dataclass
class OptimizerConfig:
    """`optimizer`: keys that the chosen algorithm does not know stay null."""

    name: str = key(
        "rmsprop",
        "algorithm of torch.optim, or sgd that turns to averaging (ntasgd)",
        words("rmsprop", "adam", "adamw", "sgd", "ntasgd"),
        "rmsprop",
    )
    lr: float = key(0.001, "learning rate", POSITIVE, 0.001)
    decay: float | None = key(
        None,
        "factor of the learning rate at the start of each epoch after decay_after; null = none",
        Allowed(low=0, high=1, low_open=True, high_open=True),
        0.5,
    )
    decay_after: int | None = key(None, "epochs at the full learning rate; null = 1", AT_LEAST_1, 4)
    nonmono: int | None = key(
        None, "ntasgd: newest epochs that do not count as the best so far; null = 5", AT_LEAST_1, 5
    )
    alpha: float | None = key(None, "rmsprop: running average of squared gradients", BELOW_1, 0.9)
    momentum: float | None = key(None, "rmsprop, sgd: momentum of the optimizer", BELOW_1, 0.9)
    nesterov: bool | None = key(None, "sgd: Nesterov's form of the momentum", ANY, True)
    beta1: float | None = key(None, "adam, adamw: running average of gradients", BELOW_1, 0.9)
    beta2: float | None = key(None, "adam, adamw: running average of squared gradients", BELOW_1, 0.999)
    eps: float | None = key(None, "rmsprop, adam, adamw: guard of the division", POSITIVE, 1e-8)
    weight_decay: float = key(0.0, "weight decay; none on learned mu, s, beta and constrained weights", AT_LEAST_0, 0.0)
    lr_orthogonal: float | None = key(
        None, "learning rate of constrained recurrent weights; null = lr", POSITIVE, 0.0002
    )
    orthogonal: str | None = key(
        None,
        "algorithm for constrained recurrent weights, with torch's defaults; null = name, with its options",
        words("rmsprop", "adam", "adamw", "sgd"),
        "rmsprop",
    )


@dataclass
class TrainerConfig:
    """`trainer`: how long, how, and on what."""

    device: str = key("auto", "where it runs", words("auto", "cpu", "cuda"), "cpu", result=False)
    precision: str = key("float32", "arithmetic of matrix products", words("float32", "tf32", "bf16"), "float32")
    deterministic: bool = key(True, "only deterministic algorithms", example=True, result=False)
    threads: int | None = key(None, "CPU threads; null = torch's choice", AT_LEAST_1, 2, result=False)
    batch_size: int = key(128, "sequences a step", AT_LEAST_1, 128)
    epochs: int = key(10, "passes over the training set", AT_LEAST_1, 150)
    max_steps: int | None = key(None, "stop after so many steps; null = after the epochs", AT_LEAST_1, 1000)
    clip_norm: float | None = key(1.0, "largest total gradient norm; null = no clipping", POSITIVE, 1.0)
    log_every: int = key(10, "steps between step records", AT_LEAST_1, 10, result=False)
    checkpoint_seconds: float = key(60.0, "seconds between checkpoints", AT_LEAST_0, 60, result=False)


@dataclass
class DiagnosticsConfig:
    """`diagnostics`: what is measured beside the loss, every `every` steps. None of it changes the result."""

    every: int = key(200, "steps between measurements", AT_LEAST_1, 100)
    gradient_through_time: bool = key(True, "norm of dL/dh_t (and c_t) for every t", example=True)
    gate_saturation: bool = key(True, "fraction of each gate's values below 0.05 and above 0.95", example=True)
    parameter_norms: bool = key(True, "gradient norm of each parameter", example=True)
    figures: bool = key(True, "draw curves and heat maps into the run folder at the end", example=True)

    @property
    def any(self) -> bool:
        """Whether anything is measured at all."""
        return self.gradient_through_time or self.gate_saturation or self.parameter_norms


@dataclass
class TrackingConfig:
    """`tracking`: where records go beside the run folder."""

    name: str = key("none", "the service that mirrors the records", words("none", "wandb", "tensorboard"), "wandb")
    project: str = key("momentum_exp", "W&B project", example="momentum_exp")
    entity: str | None = key(None, "W&B user or team", example="my-team")
    mode: str = key("offline", "W&B mode", words("offline", "online", "disabled"), "offline")
    tags: list[str] = key([], "W&B tags", example="[trial]")


@dataclass
class PathsConfig:
    """`paths`: folders, relative to where the command is given."""

    data: str = key("data", "root of the data sets (environment: MOMENTUM_EXP_DATA)", example="data")
    runs: str = key("runs", "where run folders are made", example="runs")


@dataclass
class Config:
    """One run."""

    cell: CellConfig = field(default_factory=CellConfig)
    data: DataConfig = field(default_factory=DataConfig)
    task: TaskConfig = field(default_factory=TaskConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    diagnostics: DiagnosticsConfig = field(default_factory=DiagnosticsConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    paths: PathsConfig = field(default_factory=PathsConfig)
    seed: int = key(0, "seed of initialisation, batches and (permutation=released) pixels", Allowed(0, 2**32 - 1), 0)
    retry: bool = key(
        False,
        "run again what has failed (from its last checkpoint) or diverged (from the start)",
        example=True,
        result=False,
    )
    force: bool = key(False, "run again although a finished run exists", example=True, result=False)


RESULT_GROUPS = ("cell", "data", "task", "optimizer", "trainer")
"""The groups whose keys can change what a run computes."""


def schema_keys(node: type = Config, prefix: str = "") -> Iterator[tuple[str, dataclasses.Field[Any]]]:
    """Every key of the schema with its full dotted name, groups opened."""
    for member in dataclasses.fields(node):
        name = f"{prefix}{member.name}"
        if dataclasses.is_dataclass(member.type):
            yield from schema_keys(member.type, f"{name}.")  # type: ignore[arg-type]
        else:
            yield name, member


def register() -> None:
    """Make the schema known to Hydra under the name `schema` (the first entry of conf/config.yaml)."""
    ConfigStore.instance().store(name="schema", node=Config)
