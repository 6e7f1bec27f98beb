"""What is tuned: keys with the values that a sweep's grammar gives them, as Optuna's distributions."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from types import UnionType
from typing import get_args

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, OverrideType, RangeSweep
from hydra.errors import HydraException
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import Trial

from momentum_exp.config import schema_keys
from momentum_exp.errors import UserError

FORMS = "interval(0,0.9), tag(log,interval(1e-4,1e-2)), range(16,65,16), choice(adam,sgd) or adam,sgd"
MOST_VALUES = 1000


@dataclass(frozen=True)
class Dimension:
    """One key and the distribution of its values; those of a choice are strings, as an override writes them."""

    key: str
    distribution: BaseDistribution

    @property
    def names(self) -> bool:
        """Whether the choice is among names, such as cells, so that not every other key has an effect with each."""
        return isinstance(self.distribution, CategoricalDistribution) and not all(
            map(is_number, self.distribution.choices)
        )

    def suggest(self, trial: Trial) -> str:
        """The trial's override of this key."""
        match self.distribution:
            case FloatDistribution() as floats:
                value: object = trial.suggest_float(self.key, floats.low, floats.high, step=floats.step, log=floats.log)
            case IntDistribution() as whole:
                value = trial.suggest_int(self.key, whole.low, whole.high, step=whole.step, log=whole.log)
            case CategoricalDistribution() as words:
                value = trial.suggest_categorical(self.key, words.choices)
        return self.override(value)

    def override(self, value: object) -> str:
        """`key=value`, a number with all its digits."""
        return f"{self.key}={value}"

    def extremes(self) -> list[str]:
        """Overrides with the least and the greatest value, or each value of a choice."""
        if isinstance(self.distribution, CategoricalDistribution):
            return [self.override(word) for word in self.distribution.choices]
        assert isinstance(self.distribution, IntDistribution | FloatDistribution)
        return [self.override(self.distribution.low), self.override(self.distribution.high)]


def dimension(written: str) -> Dimension | None:
    """What an override such as `cell.mu=interval(0,0.9)` tunes; None for one that gives a single value.

    A key of whole numbers has those of an interval alone. Raises UserError for a sweep that can't be tuned over,
    HydraException for what is no override.
    """
    override = OverridesParser.create().parse_override(written)
    if not override.is_sweep_override():
        return None
    if override.type != OverrideType.CHANGE or override.package is not None:
        raise UserError(f"{written}: what is tuned is written key=.., with {FORMS}")
    try:
        return Dimension(override.key_or_group, distribution(override))
    except (ValueError, HydraException) as error:
        raise UserError(f"{written}: {error}. Write for example {override.key_or_group}=.. with {FORMS}") from error


def distribution(override: Override) -> BaseDistribution:
    """The distribution that a sweep stands for. Raises ValueError where it has no values."""
    sweep = override.value()
    match sweep:
        case IntervalSweep(start=low, end=high) if low is not None and high is not None:
            if any(tag != "log" for tag in sweep.tags):
                raise ValueError(f"the tag {', '.join(map(str, sweep.tags))} is unknown, log is the one there is")
            log, whole = "log" in sweep.tags, takes_whole_numbers(override.key_or_group)
            if whole or (isinstance(low, int) and isinstance(high, int)):
                return IntDistribution(int(low), int(high), log=log)
            return FloatDistribution(float(low), float(high), log=log)
        case RangeSweep():
            values = list(islice(sweep.range(), MOST_VALUES + 1))
            if not 1 <= len(values) <= MOST_VALUES:
                raise ValueError(f"a range has between 1 and {MOST_VALUES} values")
            low, high, step = min(values), max(values), abs(sweep.step)
            if all(isinstance(value, int) for value in values):
                return IntDistribution(int(low), int(high), step=int(step))
            return FloatDistribution(float(low), float(high), step=float(step))
    return CategoricalDistribution(list(dict.fromkeys(override.sweep_string_iterator())))


def is_number(written: object) -> bool:
    """Whether a value of a choice is a number."""
    try:
        float(str(written))
    except ValueError:
        return False
    return True


def takes_whole_numbers(key: str) -> bool:
    """Whether the schema has a key of this name that takes whole numbers and nothing else but null."""
    field = dict(schema_keys()).get(key)
    if field is None:
        return False
    types = get_args(field.type) if isinstance(field.type, UnionType) else (field.type,)
    return int in types and str not in types


def probes(space: Mapping[str, Dimension]) -> list[list[str]]:
    """Overrides of a few runs between them in reach of every extreme value, to validate before anything is tried."""
    reach = [one.extremes() for one in space.values()]
    return [[values[min(place, len(values) - 1)] for values in reach] for place in range(max(map(len, reach)))]
