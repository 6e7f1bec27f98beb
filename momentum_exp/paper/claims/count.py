"""Lines of code, counted in the package's own source: a fact, not a measurement."""

import ast
from collections import Counter
from dataclasses import dataclass
from importlib.resources import files

from momentum_exp.errors import UserError
from momentum_exp.paper.claims.claim import Count
from momentum_exp.paper.claims.verdict import CONTRADICTED, SUPPORTED


@dataclass(frozen=True)
class Counted:
    """The lines that `count.method` has and `count.beside` has not."""

    count: Count
    lines: list[str]

    @property
    def verdict(self) -> str:
        return SUPPORTED if len(self.lines) <= self.count.at_most else CONTRADICTED


def count(wanted: Count) -> Counted:
    """Count lines as a formatter writes them, without docstring. Raises UserError where file or method is missing."""
    source = files("momentum_exp").joinpath(wanted.file)
    if not source.is_file():
        raise UserError(f"{wanted.file}: the package has no such file; mend conf/claim")
    tree = ast.parse(source.read_text())
    there = Counter(body(tree, wanted.beside, wanted.file))
    own = Counter(body(tree, wanted.method, wanted.file))
    return Counted(wanted, list((own - there).elements()))


def body(tree: ast.Module, name: str, file: str) -> list[str]:
    """The lines of the body of method `Class.method`."""
    owner, _, method = name.partition(".")
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == owner:
            for member in node.body:
                if isinstance(member, ast.FunctionDef) and member.name == method:
                    statements = member.body[1:] if ast.get_docstring(member) else member.body
                    return [line for statement in statements for line in ast.unparse(statement).splitlines()]
    raise UserError(f"{file} has no {name}; mend conf/claim")
