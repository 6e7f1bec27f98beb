"""Penn Treebank: the files, what is wrong with others, and where missing ones come from."""

import gzip
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch

from momentum_exp.config import DataConfig
from momentum_exp.data import data_options, load_dataset, ptb
from momentum_exp.data.token_streams import TokenStreams
from momentum_exp.errors import UserError

NAMES = ("ptb.train.txt", "ptb.valid.txt", "ptb.test.txt")


def load(root: Path, /, **options: Any) -> TokenStreams:
    dataset = load_dataset(DataConfig(name="ptb", **options), root, 0)
    assert isinstance(dataset, TokenStreams)
    return dataset


def test_the_tokens_are_the_words_in_order_of_the_training_file(ptb_root: Path) -> None:
    dataset = load(ptb_root)
    text = (ptb_root / "ptb" / "ptb.train.txt").read_text()
    words = [word for line in text.splitlines() for word in [*line.split(), "<eos>"]]
    number = {word: place for place, word in enumerate(dict.fromkeys(words))}
    assert dataset.train.tolist() == [number[word] for word in words]
    assert dataset.train.dtype == torch.int64
    assert dataset.first == number["<eos>"]
    assert dataset.num_types == len(number) == 13
    assert [len(dataset.train), len(dataset.val), len(dataset.test)] == list(ptb.TOKENS.values())
    assert (dataset.bptt, dataset.varies) == (70, False)
    varying = load(ptb_root, bptt=9, bptt_varies=True)
    assert (varying.bptt, varying.varies) == (9, True)


def test_plain_or_packed_and_any_line_ends_are_the_same(ptb_root: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for name in NAMES[:2]:
        (other / f"{name}.gz").write_bytes(gzip.compress((ptb_root / "ptb" / name).read_bytes()))
    text = (ptb_root / "ptb" / NAMES[2]).read_bytes()
    (other / NAMES[2]).write_bytes(text.replace(b"\n", b"\r\n"))
    (other / f"{NAMES[2]}.gz").write_bytes(b"not read: there is a plain one")
    one, two = load(ptb_root), load(tmp_path / "nowhere", root=str(other))
    assert all(torch.equal(getattr(one, split), getattr(two, split)) for split in ("train", "val", "test"))


def test_limit_keeps_the_first_lines_and_the_whole_vocabulary(ptb_root: Path) -> None:
    whole, part = load(ptb_root), load(ptb_root, limit=2)
    for split in ("train", "val", "test"):
        first, rest = getattr(part, split), getattr(whole, split)
        assert torch.equal(first, rest[: len(first)])
        assert (first == whole.first).sum() == 2
        assert first[-1] == whole.first
    assert part.num_types == whole.num_types
    assert set(data_options("ptb")) == {"root", "url", "bptt", "bptt_varies", "limit"}


def shortened(path: Path) -> None:
    path.write_text(path.read_text().split("\n", 1)[1])


def of_other_words(path: Path) -> None:
    path.write_text(path.read_text().replace("w3", "other"))


def not_text(path: Path) -> None:
    path.write_bytes(b"\xff\xfe\x00")


def empty(path: Path) -> None:
    path.write_bytes(b"")


def packed_and_cut(path: Path) -> None:
    content = gzip.compress(path.read_bytes())
    path.unlink()
    path.with_name(f"{path.name}.gz").write_bytes(content[: len(content) // 2])


def packed_and_altered(path: Path) -> None:
    content = bytearray(gzip.compress(path.read_bytes()))
    content[len(content) // 2] ^= 255
    path.unlink()
    path.with_name(f"{path.name}.gz").write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (shortened, "tokens .*expected [0-9,]+: this is not Mikolov's"),
        (of_other_words, "1 different words that training has not \\(other\\)"),
        (not_text, "can't be read .*put a sound copy"),
        (empty, "has 0 tokens"),
        (packed_and_cut, "can't be read"),
        (packed_and_altered, "can't be read"),
    ],
)
@pytest.mark.parametrize("name", NAMES[1:])
def test_a_wrong_file_is_named_with_what_was_expected(ptb_root: Path, damage: Any, said: str, name: str) -> None:
    damage(ptb_root / "ptb" / name)
    with pytest.raises(UserError, match=rf"ptb/{name}.* {said}"):
        load(ptb_root)


def test_a_training_text_with_other_types_is_refused(ptb_root: Path) -> None:
    path = ptb_root / "ptb" / NAMES[0]
    path.write_text(path.read_text().replace("w3", "w4"))
    with pytest.raises(UserError, match=rf"{NAMES[0]} has 12 different tokens, expected 13"):
        load(ptb_root)


def test_missing_files_are_named_with_what_to_write(ptb_root: Path) -> None:
    (ptb_root / "ptb" / NAMES[1]).unlink()
    with pytest.raises(UserError, match=rf"{ptb_root}/ptb: there is no ptb.valid.txt \(plain or .gz\).*data.url="):
        load(ptb_root)


@pytest.fixture
def source(ptb_root: Path) -> Iterator[str]:
    """The address of a server that has the small files."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(ptb_root)))
    thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.01))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/ptb"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("end", ["", "/"])
def test_missing_files_are_downloaded_once(source: str, ptb_root: Path, tmp_path: Path, end: str) -> None:
    empty_folder = tmp_path / "empty" / "folder"
    dataset = load(tmp_path, root=str(empty_folder), url=source + end)
    assert torch.equal(dataset.train, load(ptb_root).train)
    assert sorted(path.name for path in empty_folder.iterdir()) == sorted(NAMES)
    before = {path: path.stat().st_mtime_ns for path in empty_folder.iterdir()}
    assert torch.equal(load(tmp_path, root=str(empty_folder), url="http://127.0.0.1:9/").test, dataset.test)
    assert {path: path.stat().st_mtime_ns for path in empty_folder.iterdir()} == before


def test_a_source_with_another_file_leaves_nothing(
    source: str, ptb_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ptb.SHA256, NAMES[2], "0" * 64)
    with pytest.raises(UserError, match=rf"data\.url={source}: the {NAMES[2]} it sends .* expected 0000"):
        load(tmp_path, root=str(tmp_path / "new"), url=source)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("address", ["{source}/elsewhere", "http://127.0.0.1:9", "no address", "nothing://here"])
def test_a_source_that_cannot_be_reached_is_said(source: str, tmp_path: Path, address: str) -> None:
    url = address.format(source=source)
    with pytest.raises(UserError, match=rf"data\.url: {url}/{NAMES[0]} can't be downloaded .*data\.url=https"):
        load(tmp_path, root=str(tmp_path / "new"), url=url)
    assert not (tmp_path / "new").exists()


def test_the_real_text_has_the_known_counts(real_data: Callable[[str], Path]) -> None:
    dataset = load(real_data("ptb"))
    assert [len(dataset.train), len(dataset.val), len(dataset.test)] == [929_589, 73_760, 82_430]
    assert dataset.num_types == len(dataset.train.unique()) == 10_000
    assert sum(batch.targets.numel() for batch in dataset.training(20, 0, 0)) == 929_580
    assert dataset.evaluation("val", 20)[0].targets.shape[0] == 10
