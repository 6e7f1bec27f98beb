"""`python -m momentum_exp.paper NAME`: run what is missing for a table or figure, then make it."""

import sys
from collections.abc import Sequence

from momentum_exp.exit_code import answering


def main(argv: Sequence[str] | None = None) -> None:
    """The command, with the process's arguments or `argv`.

    Exit code 0: made; 1: made, but runs failed or diverged; 2: the command needs mending; 130: interrupted.
    """
    with answering("momentum_exp.paper"):
        from momentum_exp.paper.make import make, parser  # takes seconds, in which the user may interrupt

        code = make(parser(__doc__).parse_args(argv))
    sys.exit(code)


if __name__ == "__main__":
    main()
