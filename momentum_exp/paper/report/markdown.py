"""Markdown as HTML that needs nothing else: pictures inlined, run ids linked to the runs, all other text escaped."""

import base64
import re
from collections.abc import Collection
from html import escape
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

from momentum_exp.paper.claims.render import anchor
from momentum_exp.paper.claims.verdict import VERDICTS

MIME = {".png": "image/png", ".svg": "image/svg+xml"}
HASH = re.compile(r"(?:^|-)([0-9a-f]{10})$")


class Page:
    """A Markdown file turned into HTML. known: the hashes of runs that have a place in the report."""

    def __init__(self, path: Path, known: Collection[str]) -> None:
        self.path = path
        self.known = known
        self._pictures: set[str] = set()

    def html(self) -> Markup:
        """The whole file, under a heading; raw HTML in it is text."""
        parser = MarkdownIt("commonmark", {"html": False}).enable("table")
        tokens = parser.parse(self.path.read_text())
        for token, following in zip(tokens, [*tokens[1:], None], strict=True):
            if token.type == "heading_open" and following is not None:
                token.attrSet("id", f"{self.path.stem}-{anchor(following.content)}")
                token.tag = f"h{min(int(token.tag[1]) + 1, 6)}"
            elif token.type == "heading_close":
                token.tag = f"h{min(int(token.tag[1]) + 1, 6)}"
            elif token.type == "inline":
                token.children = self._inline(token.children or [])
        rendered = str(parser.renderer.render(tokens, parser.options, {}))
        if not any(token.type == "heading_open" for token in tokens):
            rendered = f"<h2>{escape(self.path.stem)}</h2>\n{rendered}"
        return Markup(rendered.replace("<table>", '<div class="wide"><table>').replace("</table>", "</table></div>"))

    def _inline(self, children: list[Token]) -> list[Token]:
        out = []
        for index, token in enumerate(children):
            if token.type == "image":
                out.append(self._picture(token))
            elif token.type == "code_inline":
                out.append(self._run(token))
            else:
                if token.type == "link_open":
                    self._link(token)
                elif token.type == "strong_open" and children[index + 1].content in VERDICTS:
                    token.attrSet("class", f"verdict {anchor(children[index + 1].content)}")
                out.append(token)
        return out

    def _link(self, token: Token) -> None:
        """Anchors lead into the page; what lies elsewhere is said where one points at it, and leads nowhere."""
        target = str(token.attrs.pop("href"))
        if target.startswith("#"):
            token.attrSet("href", f"#{self.path.stem}-{target[1:]}")
        else:
            token.attrSet("title", target)

    def _picture(self, token: Token) -> Token:
        """The picture itself; of one that is there as PNG and SVG the first, of one that is not there its text."""
        source = self.path.parent / str(token.attrs["src"])
        if source.stem in self._pictures:
            return raw("")
        if source.suffix not in MIME or source.parent != self.path.parent or not source.is_file():
            return raw(f"<em>{escape(token.content)}: no picture {escape(source.name)}</em>")
        self._pictures.add(source.stem)
        data = base64.b64encode(source.read_bytes()).decode()
        return raw(f'<img alt="{escape(token.content)}" src="data:{MIME[source.suffix]};base64,{data}">')

    def _run(self, token: Token) -> Token:
        """A run's hash, or a folder's name that ends in it, leads to the run."""
        match = HASH.search(token.content)
        if not match or match[1] not in self.known:
            return token
        return raw(f'<a href="#run-{match[1]}"><code>{escape(token.content)}</code></a>')


def raw(html: str) -> Token:
    """A token that is rendered as it stands."""
    return Token("html_inline", "", 0, content=html)
