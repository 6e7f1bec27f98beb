"""What happened in a run: `metrics.jsonl`, one JSON object a line, the truth behind every number."""

import contextlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from momentum_exp.errors import UserError
from momentum_exp.files import append_line, write_text_whole

Record = Mapping[str, Any]


class Records:
    """The records of one run, in the order they were made.

    Every record has a `kind` ("step", "epoch", "learned", "parameters" or "gates") and the `step` (optimizer
    steps done) it belongs to. JSON has no NaN or infinity: a value that was measured and is not finite is written as
    `null`; a value that was not measured has no key. `count` is the number of records kept by `truncate` and
    appended since.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.count = 0

    def append(self, record: Record) -> None:
        """Add one record. A kill loses at most this one. Raises OSError where the file can't be written."""
        append_line(self.path, _line(record))
        self.count += 1

    def read(self) -> list[dict[str, Any]]:
        """All complete records; see `read_records`. None where the file does not exist yet."""
        return read_records(self.path) if self.path.exists() else []

    def epochs(self) -> list[dict[str, Any]]:
        """The complete records of kind "epoch"."""
        return [record for record in self.read() if record["kind"] == "epoch"]

    def truncate(self, count: int) -> None:
        """Keep the first `count` records, and drop a torn last line.

        A resumed run calls this before its first `append`, with the count of its checkpoint: what the killed
        process recorded after that checkpoint will be recorded again.
        """
        kept = self.read()[:count]
        write_text_whole(self.path, "".join(_line(record) + "\n" for record in kept))
        self.count = len(kept)


def read_records(path: Path) -> list[dict[str, Any]]:
    """The records in `path`. A last line cut short by a kill (no newline, not JSON) is left out.

    Raises UserError for any other line that is not a record, OSError where the file can't be read.
    """
    *lines, last = path.read_bytes().split(b"\n")
    records = [_parse(line, path, number) for number, line in enumerate(lines, start=1)]
    if last:
        with contextlib.suppress(UserError):
            records.append(_parse(last, path, len(lines) + 1))
    return records


def _line(record: Record) -> str:
    return json.dumps(_finite(record), allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _parse(line: bytes, path: Path, number: int) -> dict[str, Any]:
    try:
        record = json.loads(line, parse_constant=_reject)
        if isinstance(record, dict) and isinstance(record.get("step"), int) and "kind" in record:
            return record
    except ValueError:  # not JSON, or not UTF-8
        pass
    raise UserError(
        f"{path}, line {number}: not a record (one JSON object with `kind` and `step` a line is expected). "
        "Mend or remove the line, or run again with force=true."
    )


def _reject(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")
