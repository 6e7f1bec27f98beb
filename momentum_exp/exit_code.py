"""What a command ends with, one code for each way that it may end: a user's mistake, an interruption."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from momentum_exp.errors import UserError
from momentum_exp.reader import outlive_the_reader

DONE, FAILED, MISTAKEN, INTERRUPTED = 0, 1, 2, 130


@contextmanager
def answering(program: str) -> Iterator[None]:
    """The work of the command `program`: within it a UserError ends the process with one message and MISTAKEN.

    So do Ctrl-C and SIGTERM, what was begun being cleared away, with INTERRUPTED. A reader that has seen enough
    (`| head`) ends nothing.
    """
    outlive_the_reader()
    former = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except UserError as error:
        print(f"{program}: error: {error}", file=sys.stderr)
        sys.exit(MISTAKEN)
    except KeyboardInterrupt:
        print(f"{program}: interrupted; the same command goes on.", file=sys.stderr)
        sys.exit(INTERRUPTED)
    finally:
        signal.signal(signal.SIGTERM, former)
