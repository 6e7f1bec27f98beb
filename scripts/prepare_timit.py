"""Prepare TIMIT ahead of training: `python scripts/prepare_timit.py FOLDER`, the folder being LDC93S1's."""

import argparse
import os
from pathlib import Path

from momentum_exp.data.timit import SIZES, find_sentences, lack, parts_of, prepare
from momentum_exp.errors import UserError
from momentum_exp.exit_code import answering

WHOLE = {"train": (462, 4620), "test": (168, 1680)}
"""Speakers and sentences of the corpus' two folders, SA included."""


def prepare_timit(root: Path) -> str:
    """Compute the cache of frames; returns what was found, beside what LDC93S1 holds, as a table to print.

    Raises UserError, with the same table, where sentences that are needed are missing, and for one that can't be used.
    """
    sentences = find_sentences(root)
    parts = parts_of(sentences)
    found = {f"folder {usage}": [s for s in sentences if s.usage == usage] for usage in WHOLE}
    expected = {f"folder {usage}": sizes for usage, sizes in WHOLE.items()} | SIZES
    rows = ["part            speakers  of  sentences    of"]
    for name, part in {**found, **parts}.items():
        speakers = len({sentence.speaker for sentence in part})
        of_speakers, of_sentences = expected[name]
        rows.append(f"{name:14}  {speakers:8}  {of_speakers:3}  {len(part):8}  {of_sentences:4}")
    table = "\n".join(rows)
    if problems := [problem for name, part in parts.items() if (problem := lack(name, part))]:
        raise UserError(f"{table}\n{root}: {'; '.join(problems)}. Nothing was prepared.")
    frames = prepare(parts, root)
    kept = [sentence for sentence in parts["train"] if not sentence.dropped]
    return "\n".join(
        [
            table,
            f"data.protocol=released trains on {len(kept)} sentences, clean on all {len(parts['train'])}.",
            f"{sum(map(len, frames.values()))} frames are ready.",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    default = Path(os.environ.get("MOMENTUM_EXP_DATA", "data")) / "timit"
    parser.add_argument("root", type=Path, nargs="?", default=default, help=f"default: {default}")
    with answering("prepare_timit.py"):
        print(prepare_timit(parser.parse_args().root))


if __name__ == "__main__":
    main()
