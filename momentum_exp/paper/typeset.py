"""A laid out table as Markdown and as LaTeX."""

import re
from collections.abc import Sequence

from momentum_exp.paper.table_layout import Layout

LATEX = {
    "\\": r"\textbackslash{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "±": r"$\pm$",
    "≈": r"$\approx$",
    "²": r"$^2$",
    "†": r"$^{\dagger}$",
    "✓": r"$^{\checkmark}$",
}
"""What LaTeX reads otherwise than it stands there. Other characters beyond ASCII need a Unicode engine."""


def markdown(table: Layout) -> str:
    """Title and caption, the table, the notes as a list."""
    lines = [table.header, ["---"] + ["---:"] * (len(table.header) - 1), *table.rows]
    body = "".join(f"| {' | '.join(cell.replace('|', '&#124;') for cell in line)} |\n" for line in lines)
    notes = "".join(f"- {note}\n" for note in table.notes)
    return f"**{table.title}** {table.caption}\n\n{body}\n{notes}"


def latex(table: Layout) -> str:
    """A `table` environment with booktabs; the notes below it."""
    columns = "l" + "r" * (len(table.header) - 1)
    lines = [
        "% Needs \\usepackage{amssymb,booktabs,graphicx}.",
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escape(f'{table.title} {table.caption}')}}}",
        rf"\label{{tab:{re.sub('[^A-Za-z0-9-]', '-', table.name)}}}",
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        _line(table.header),
        r"\midrule",
        *map(_line, table.rows),
        r"\bottomrule",
        r"\end{tabular}}",
        *(rf"\par\smallskip{{\footnotesize {escape(note)}}}" for note in table.notes),
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def escape(text: str) -> str:
    """Plain text for LaTeX; what stands between backquotes is a command and set as such."""
    set_as_code = re.split(r"`([^`]*)`", text)
    parts = ["".join(LATEX.get(character, character) for character in part) for part in set_as_code]
    return "".join(rf"\texttt{{{part}}}" if number % 2 else part for number, part in enumerate(parts))


def _line(cells: Sequence[str]) -> str:
    return " & ".join(map(escape, cells)) + r" \\"
