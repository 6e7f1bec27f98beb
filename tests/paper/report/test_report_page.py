"""The HTML page: needs nothing but itself, escapes what it shows, leads to every run, and can be read when narrow."""

import json
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread
from omegaconf import OmegaConf

from momentum_exp.errors import UserError
from momentum_exp.paper.report.checklist import checklist
from momentum_exp.paper.report.page import mentioned, ordered, page
from momentum_exp.paper.report.runs import all_runs
from momentum_exp.paper.run_command import run_command
from momentum_exp.tracking.run_record import read_run

HOSTILE = '<script>alert("&1")</script>'
CLAIMS = """\
# Claims <b>bold</b>

| claim | verdict |
| --- | --- |
| [Better](#better) | **supported** at reduced scale |
| [Worse](#worse-than-all) | **not enough runs** |

## Better

Run `00000000a0`, unknown `00000000ff`; see [elsewhere](https://example.org/x.html).

## Worse than all

| {} |
| {} |
| {} |
""".format(" | ".join(["a long column"] * 14), " | ".join(["---"] * 14), " | ".join(["1.23 [-4.5, +6.7]"] * 14))
FIGURE = """\
# figure3: curves

![curves](figure3.png)
![curves](figure3.svg)
![missing](figure9.png)
![outside](../secret.png)
![remote](https://example.org/picture.png)

Of `pdigits-lstm-n8-muNone-seed1-00000000a1`.
"""


class Everything(HTMLParser):
    """All tags with their attributes, and all text."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data

    def values(self, name):
        return [attributes[name] for _, attributes in self.tags if name in attributes]


@pytest.fixture
def folders(make_run, tmp_path):
    """Folder of runs and folder of results; run a0 is hostile, run a2 is not mentioned, another diverged."""
    for seed in range(3):
        path = make_run("lstm", seed, state="diverged" if seed == 1 else "finished")
        identity = json.loads((path / "identity.json").read_text())
        (path / "identity.json").write_text(json.dumps(identity | {"hash": f"00000000a{seed}"}))
        overrides = [f"cell={HOSTILE}" if seed == 0 else "cell=lstm", f"seed={seed}", "paths.runs=/secret/place"]
        overrides += ["force=true", "retry=true", "data.permutation=[0, 1]"]
        OmegaConf.save(OmegaConf.create(overrides), path / ".hydra" / "overrides.yaml")
        facts = {"commit": "c" * 40, "dirty": False, "device": "cpu: one", "threads": 1, "packages": {"torch": "2"}}
        (path / "environment.json").write_text(json.dumps([facts]))
        status = json.loads((path / "status.json").read_text())
        (path / "status.json").write_text(json.dumps(status | {"seconds": 3600, "error": "not finite"}))
    out = tmp_path / "out"
    out.mkdir()
    (out / "claims.md").write_text(CLAIMS)
    (out / "figure3.md").write_text(FIGURE)
    (out / "table1.md").write_text("# Table 1\n\n| a | b |\n|---|---|\n| 1 ± 0.1 (5) | -- |\n")
    (out / "reproducibility-checklist.md").write_text("# Checklist\n")
    (out / "README.md").write_text("# Not ours: `00000000a2`\n")
    (out / "notes.csv").write_text("00000000a2\n")
    (tmp_path / "secret.png").write_bytes(b"secret")
    for form in ("png", "svg"):
        Figure(figsize=(2, 1)).savefig(out / f"figure3.{form}")
    return tmp_path / "runs", out


@pytest.fixture
def html(folders):
    runs, out = folders
    return page(out, "reduced", all_runs(runs))


def test_nothing_is_loaded_from_elsewhere(html):
    found = Everything(html)
    assert all(source.startswith("data:image/") for source in found.values("src"))
    assert all(target.startswith("#") for target in found.values("href"))
    assert not {tag for tag, _ in found.tags} & {"script", "link", "iframe", "object", "embed", "base", "form"}
    assert not re.search(r"url\(|@import", html)
    assert "secret" not in html.replace("../secret.png", "").replace("secret.png", "")


def test_every_link_has_its_target_and_no_target_stands_twice(html):
    found = Everything(html)
    ids = found.values("id")
    assert len(set(ids)) == len(ids)
    assert {target[1:] for target in found.values("href")} <= set(ids)
    assert "claims-worse-than-all" in ids


def test_text_is_escaped(html):
    assert HOSTILE not in html
    assert "<b>" not in html
    assert HOSTILE in Everything(html).text
    assert "<b>bold</b>" in Everything(html).text


def test_runs_that_are_mentioned_have_their_facts_and_no_others(html, folders):
    runs, out = folders
    assert mentioned(out, all_runs(runs)) == ["00000000a0", "00000000a1"]
    found = Everything(html)
    assert {"run-00000000a0", "run-00000000a1"} == {name for name in found.values("id") if name.startswith("run-")}
    command = "python -m momentum_exp cell=lstm seed=1 'data.permutation=[0, 1]'"
    for fact in (command, "c" * 40, "cpu: one", "3,600", "diverged", "75.00%"):
        assert fact in found.text


def test_a_table_names_its_runs_beside_it(folders):
    """Its CSV does; its Markdown has no heading, so the page gives it one."""
    runs, out = folders
    (out / "table1.md").write_text("Caption.\n\n| a |\n|---|\n| 1 |\n")
    (out / "table1.csv").write_text("arm,runs\nlstm,00000000a0 00000000a2\n")
    html = page(out, "reduced", all_runs(runs))
    assert 'id="run-00000000a2"' in html
    assert "<h2>table1</h2>" in html


def test_verdicts_come_first_and_the_checklist_last(html, folders):
    assert [path.stem for path in ordered(folders[1])] == ["claims", "table1", "figure3", "reproducibility-checklist"]
    places = [html.index(f'id="part-{path.stem}"') for path in ordered(folders[1])]
    assert places == sorted(places)
    assert html.index('class="verdict supported"') < html.index("<details>") < html.index('id="claims-better"')


@pytest.mark.parametrize(
    ("name", "content"),
    [(".hydra/config.yaml", text) for text in ("", "cell: [unclosed", "- a list")]
    + [("identity.json", text) for text in ('{"group": "a"}', "[]")],
)
def test_a_damaged_run_is_named_and_has_no_place_in_the_report(name, content, folders, capsys):
    runs, _ = folders
    path = sorted(runs.iterdir())[0]
    (path / name).write_text(content)
    with pytest.raises(UserError, match=f"{re.escape(str(path / name))} is damaged.*force=true"):
        read_run(path)
    assert sorted(all_runs(runs)) == ["00000000a1", "00000000a2"]
    assert f"warning: left out of the report: {path / name} is damaged" in capsys.readouterr().err


def test_of_copies_of_a_run_the_one_that_tables_are_made_of_is_shown(folders):
    runs, _ = folders
    path = sorted(runs.iterdir())[0]
    shutil.copytree(path, runs / "zz" / path.name)
    assert all_runs(runs)["00000000a0"].path == path


def test_a_picture_is_shown_once_and_only_from_the_folder(html):
    assert html.count("<img") == 1
    assert "no picture figure9.png" in html
    assert "no picture picture.png" in html


def test_an_empty_folder_makes_a_page(tmp_path):
    assert "No run is behind" in page(tmp_path, "smoke", {})


def test_checklist_from_the_records(folders):
    runs = list(all_runs(folders[0]).values())
    evaluated = [replace(runs[0], epochs=[epoch | {"eval_seconds": 900.0} for epoch in runs[0].epochs])]
    assert "1.50 in 1 runs" in checklist(evaluated, evaluated, "reduced")  # an hour of steps, two evaluations
    text = checklist(runs[:2], runs, "reduced")
    assert "2.00 in 2 runs" in text
    assert "3.00 in 3 runs (finished (2), diverged (1))" in text
    assert "2 seeds (configurations: 1)" in text
    assert "| pdigits, lstm | 0, 1 | 3,600 | cell.dynamics = identity" in text
    assert "nothing to fill in" in checklist([], runs, "reduced")
    elsewhere = replace(runs[0], config=runs[0].config | {"data": {"name": "digits", "root": "/home/me"}})
    assert "data.name = digits" in checklist([elsewhere], [elsewhere], "reduced")
    assert "/home/me" not in checklist([elsewhere], [elsewhere], "reduced")


BROWSER = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--host-resolver-rules=MAP * ~NOTFOUND"]


@pytest.fixture
def browser(tmp_path):
    """A function that opens a page in headless Chromium, without network, and returns what it prints."""
    if not shutil.which("chromium"):
        pytest.skip("no chromium")

    def look(html, *options):
        file = tmp_path / "page.html"
        file.write_text(html)
        command = [*BROWSER, "--window-size=1200,4000", *options, file.as_uri()]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout

    return look


def test_a_narrow_window_shows_no_more_than_its_width(html, browser):
    """A browser's own measure of the page at 420 pixels, everything unfolded: wide tables scroll in their frame."""
    probe = (
        "<script>document.querySelectorAll('details').forEach(d => d.open = true);"
        "document.title = [document.documentElement.scrollWidth, innerWidth].join(' ')</script>"
    )
    printed = browser(html.replace("</body>", f"{probe}</body>"), "--window-size=420,900", "--dump-dom")
    title = re.search(r"<title>(\d+) (\d+)</title>", printed)
    assert title, printed[:300]
    assert int(title[1]) <= int(title[2])


@pytest.mark.parametrize("change", ["body { color: transparent }", "img { filter: invert(1) }"])
def test_a_screenshot_shows_text_and_the_picture(html, change, browser, tmp_path):
    """Without its text, or with its picture's negative, the page looks different."""
    shots = []
    for style in ("", change):
        browser(html.replace("</style>", f"{style}</style>"), f"--screenshot={tmp_path / 'shot.png'}")
        shots.append(imread(tmp_path / "shot.png"))
    assert np.abs(shots[0] - shots[1]).max() > 0.5


def test_the_command_of_a_run_without_its_overrides_is_not_known(folders):
    path = min(folders[0].iterdir())
    assert run_command(read_run(path)).startswith("python -m momentum_exp")
    (path / ".hydra" / "overrides.yaml").unlink()
    assert run_command(read_run(path)) == "not known"
