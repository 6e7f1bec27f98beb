"""What a command ends with, one code for each way that it may end; a user's mistake, and a closed pipe."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from momentum_exp.errors import UserError

DONE, FAILED, MISTAKEN, INTERRUPTED = 0, 1, 2, 130


@contextmanager
def answering(program: str) -> Iterator[None]:
    """What the command `program` prints: within it a UserError ends the process with one message and MISTAKEN.

    A reader that has seen enough (`| head`) ends it with DONE.
    """
    try:
        yield
        sys.stdout.flush()
    except UserError as error:
        print(f"{program}: error: {error}", file=sys.stderr)
        sys.exit(MISTAKEN)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(DONE)
