"""`python -m momentum_exp.paper NAME`: run what is missing for a table or figure, then make it."""

import signal
import sys
from collections.abc import Sequence

from momentum_exp.errors import UserError

USER_ERROR, INTERRUPTED = 2, 130


def main(argv: Sequence[str] | None = None) -> None:
    """The command, with the process's arguments or `argv`.

    Exit code 0: made; 1: made, but runs failed; 2: the command needs mending; 130: interrupted.
    """
    former = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        from momentum_exp.paper.make import make, parser  # takes seconds, in which the user may interrupt

        sys.exit(make(parser(__doc__).parse_args(argv)))
    except UserError as error:
        print(f"momentum_exp.paper: error: {error}", file=sys.stderr)
        sys.exit(USER_ERROR)
    except KeyboardInterrupt:
        print("momentum_exp.paper: interrupted; the same command goes on.", file=sys.stderr)
        sys.exit(INTERRUPTED)
    finally:
        signal.signal(signal.SIGTERM, former)


if __name__ == "__main__":
    main()
