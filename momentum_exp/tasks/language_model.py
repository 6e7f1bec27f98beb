"""The next word, at every word of a text: embedding, recurrent layers, softmax; AWD-LSTM's recipe in full.

Source: Merity, Keskar and Socher 2017, and the released PTB code, which trains momentum cells by it (paper 3.3). Its
parts: `tasks/dropout.py`, `tasks/activation_penalties.py`, weight-drop (`cell.weight_dropout`), segments of random
length (`data/token_streams.py`), NT-ASGD (`training/averaging.py`). Without them it is the plain model of Zaremba et
al. 2014.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from momentum_exp.cells import Recurrent, State
from momentum_exp.cells.options import build as build_pair
from momentum_exp.config import Config, TaskConfig
from momentum_exp.data.dataset import Batch, Dataset
from momentum_exp.data.token_streams import TokenStreams
from momentum_exp.errors import UserError
from momentum_exp.tasks.activation_penalties import activation_penalty, change_penalty
from momentum_exp.tasks.cell import build_cell
from momentum_exp.tasks.dropout import embed, locked_dropout
from momentum_exp.tasks.task import Carry, Evaluation, Task

OPTIONS: dict[str, Any] = {
    "embedding_size": None,
    "tied": False,
    "dropout_embedding": 0.0,
    "dropout_input": 0.0,
    "dropout_output": 0.0,
    "ar": 0.0,
    "tar": 0.0,
}
CARRIES_STATE = True

LARGEST_EXPONENT = 700.0  # of e, as a float
EMBEDDING_RANGE = 0.1
"""Embedding and softmax weights start uniform between minus this and this, its bias at 0."""


class LanguageModel(Task):
    """logits = decoder(drop(layers(drop(embedding(words))))), the layers with dropout between them.

    layers: batch-first, one layer each. config: the task's, validated; dropout: between the layers. All of it is
    locked dropout. Tied: the decoder's weight is the embedding itself, undropped.
    """

    def __init__(self, layers: Sequence[Recurrent], num_types: int, config: TaskConfig, dropout: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.config, self.dropout = config, dropout
        self.embedding = nn.Embedding(num_types, layers[0].input_size)
        self.decoder = nn.Linear(layers[-1].output_size, num_types)
        if config.tied:
            self.decoder.weight = self.embedding.weight
        for weight in (self.embedding.weight, self.decoder.weight):
            nn.init.uniform_(weight, -EMBEDDING_RANGE, EMBEDDING_RANGE)
        nn.init.zeros_(self.decoder.bias)

    @property
    def cells(self) -> Sequence[Recurrent]:
        return list(self.layers)  # type: ignore[arg-type]

    def forward(self, words_BT: Tensor, carry: Carry = None) -> tuple[Tensor, Tensor, list[State]]:
        """The last layer's outputs (B, T, H) with and without dropout, and the state of every layer."""
        config, states = self.config, []
        x_BTD = embed(words_BT, self.embedding.weight, config.dropout_embedding or 0.0, self.training)
        rates = [config.dropout_input or 0.0, *[self.dropout] * (len(self.layers) - 1)]
        for place, (layer, rate) in enumerate(zip(self.layers, rates, strict=True)):
            x_BTD, state = layer(locked_dropout(x_BTD, rate, self.training), carry[place] if carry else None)
            states.append(state)
        return locked_dropout(x_BTD, config.dropout_output or 0.0, self.training), x_BTD, states

    def evaluate(self, batch: Batch, carry: Carry = None) -> Evaluation:
        """Cross-entropy (nats a word) of words (B, T) and the words that follow; in training with AR and TAR added."""
        dropped_BTH, h_BTH, states = self(batch.inputs, carry)
        logits_NV = self.decoder(dropped_BTH).float().flatten(0, 1)
        loss = cross_entropy = F.cross_entropy(logits_NV, batch.targets.flatten())
        if self.training and self.config.ar:
            loss = loss + self.config.ar * activation_penalty(dropped_BTH.float())
        if self.training and self.config.tar:
            loss = loss + self.config.tar * change_penalty(h_BTH.float())
        metrics = {"cross_entropy": cross_entropy.detach()}
        return Evaluation(loss, metrics, batch.targets.numel(), [state.detach() for state in states])

    def summarise(self, means: dict[str, float]) -> dict[str, float]:
        """`perplexity`, the exponential of the mean cross-entropy, in its place; infinity beyond all floats."""
        rest = {name: value for name, value in means.items() if name != "cross_entropy"}
        mean = means["cross_entropy"]
        return rest | {"perplexity": math.exp(mean) if mean < LARGEST_EXPONENT else math.inf}


def layer_sizes(config: Config) -> list[tuple[int, int]]:
    """Input and hidden size of each layer: cell.hidden_size, but in the last one, if tied, the embedding's.

    Raises UserError where a tied last layer can't have outputs of that size.
    """
    cell, embedding = config.cell, config.task.embedding_size or config.cell.hidden_size
    width = build_pair(cell.recurrence, cell.dynamics, {})[0].width
    hidden = [cell.hidden_size] * cell.num_layers
    if config.task.tied:
        hidden[-1] = embedding // width(1)
        if width(hidden[-1]) != embedding:
            raise UserError(
                f"task.embedding_size={embedding}: task.tied=true needs a last layer with as many outputs, and "
                f"recurrence {cell.recurrence} has {width(1)} for each unit; write an even number"
            )
    return list(zip([embedding, *map(width, hidden[:-1])], hidden, strict=True))


def build(config: Config, dataset: Dataset) -> LanguageModel:
    """The language model for a text. Raises UserError for another data set, or a cell that it can't be made of."""
    if not isinstance(dataset, TokenStreams):
        raise UserError(f"task.name=language_model needs a text, which data.name={config.data.name} is not")
    if config.cell.bidirectional:
        raise UserError("cell.bidirectional=true: a language model would see the words it is to predict; leave it out")
    if config.trainer.batch_size > len(dataset.train):
        raise UserError(
            f"trainer.batch_size={config.trainer.batch_size}: the training text has {len(dataset.train)} tokens, "
            "fewer than one a stream; write a smaller one or leave out data.limit"
        )
    return of_size(config, dataset.num_types)


def rebuild(config: Config, weights: Mapping[str, Tensor]) -> LanguageModel:
    """The language model that weights of these shapes belong to."""
    return of_size(config, len(weights["embedding.weight"]))


def of_size(config: Config, num_types: int) -> LanguageModel:
    """The language model for a vocabulary of `num_types` words."""
    layers = [
        build_cell(replace(config.cell, hidden_size=hidden, num_layers=1, dropout=0.0), inputs)
        for inputs, hidden in layer_sizes(config)
    ]
    return LanguageModel(layers, num_types, config.task, config.cell.dropout)
