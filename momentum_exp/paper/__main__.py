"""`python -m momentum_exp.paper NAME`: run what is missing for a table or figure, then make it."""

import signal
import sys
from collections.abc import Sequence

from momentum_exp.exit_code import INTERRUPTED, answering


def main(argv: Sequence[str] | None = None) -> None:
    """The command, with the process's arguments or `argv`.

    Exit code 0: made; 1: made, but runs failed; 2: the command needs mending; 130: interrupted.
    """
    former = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        from momentum_exp.paper.make import make, parser  # takes seconds, in which the user may interrupt

        with answering("momentum_exp.paper"):
            code = make(parser(__doc__).parse_args(argv))
        sys.exit(code)
    except KeyboardInterrupt:
        print("momentum_exp.paper: interrupted; the same command goes on.", file=sys.stderr)
        sys.exit(INTERRUPTED)
    finally:
        signal.signal(signal.SIGTERM, former)


if __name__ == "__main__":
    main()
