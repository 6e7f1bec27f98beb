"""Penn Treebank, word level: Mikolov's three files, 10,000 words (paper 3.3)."""

import gzip
import io
import zlib
from pathlib import Path

import torch

from momentum_exp.config import DataConfig
from momentum_exp.data.fetch import fetch
from momentum_exp.data.token_streams import TokenStreams
from momentum_exp.errors import UserError, first_three

OPTIONS = ("root", "url", "bptt", "bptt_varies", "limit")

END = "<eos>"
TOKENS = {"ptb.train.txt": 929_589, "ptb.valid.txt": 73_760, "ptb.test.txt": 82_430}
"""The files, and how many tokens each has, with one END a line."""

TYPES = 10_000
"""Different tokens of the training file, END among them."""

SHA256 = {
    "ptb.train.txt": "fcea919f6cf83f35d4d00c6cbf08040d13d4155226340912e2fef9c9c4102cbf",
    "ptb.valid.txt": "c9fe6985fe0d4ccb578183407d7668fc6066c20700cb4cf87d8ff1cc34df1bf2",
    "ptb.test.txt": "dd65dff31e70846b2a6030a87482edcd5d199130cdcfa1f3dccbb033728deee0",
}
"""Checksums of the files as they are passed around; a copy that differs in white space alone is as good."""

BPTT = 70


def load(config: DataConfig, root: Path, run_seed: int) -> TokenStreams:
    """The three texts from data.root, or from the folder `ptb` of `root`; each file plain or as .gz.

    Words are numbered in the order of the training file. data.limit keeps the first lines of each text. Where files
    are missing and data.url names a source, they are downloaded. `run_seed` is not used.

    Raises UserError for a file that is missing or damaged or has other counts, and a download that fails.
    """
    folder = Path(config.root) if config.root else root / "ptb"
    files = _find(folder)
    if missing := [name for name in TOKENS if name not in files]:
        if not config.url:
            raise UserError(
                f"{folder}: there is no {', '.join(missing)} (plain or .gz). Put Mikolov's word-level Penn Treebank "
                "there, or name the folder that has it with data.root=FOLDER, or a source to download it from with "
                "data.url=https://HOST/FOLDER"
            )
        fetch(config.url, {name: SHA256[name] for name in missing}, folder)
        files = _find(folder)
    texts = {files[name]: _lines(files[name], expected) for name, expected in TOKENS.items()}
    words = dict.fromkeys(word for line in texts[files["ptb.train.txt"]] for word in line)
    if len(words) != TYPES:
        raise UserError(_other(files["ptb.train.txt"], f"{len(words):,} different tokens", TYPES))
    number = {word: place for place, word in enumerate(words)}
    tokens = []
    for path, lines in texts.items():
        if unknown := {word for line in lines for word in line} - number.keys():
            named = first_three(sorted(unknown))
            raise UserError(_other(path, f"{len(unknown):,} different words that training has not ({named})", 0))
        tokens.append(torch.tensor([number[word] for line in lines[: config.limit] for word in line]))
    train, val, test = tokens
    return TokenStreams(train, val, test, TYPES, number[END], config.bptt or BPTT, bool(config.bptt_varies))


def _find(folder: Path) -> dict[str, Path]:
    """The files that are there, plain before .gz."""
    candidates = {name: (folder / name, folder / f"{name}.gz") for name in TOKENS}
    return {name: path for name, pair in candidates.items() for path in reversed(pair) if path.is_file()}


def _lines(path: Path, expected: int) -> list[list[str]]:
    """The words of each line, END after them. Raises UserError unless these are `expected` tokens."""
    try:
        content = path.read_bytes()
        text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode()
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise UserError(f"{path} can't be read ({error}); put a sound copy in its place") from error
    lines = [[*line.split(), END] for line in io.StringIO(text, newline=None)]
    found = sum(map(len, lines))
    if found != expected:
        raise UserError(_other(path, f"{found:,} tokens (words, and one {END} a line)", expected))
    return lines


def _other(path: Path, found: str, expected: int) -> str:
    what = "this is not Mikolov's word-level Penn Treebank, or not all of it; put the right file in its place"
    return f"{path} has {found}, expected {expected:,}: {what}"
