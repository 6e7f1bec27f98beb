"""The one exception that means: the user can mend this; and how its messages list names."""

from collections.abc import Sequence


class UserError(ValueError):
    """A mistake of the user's, said in one message: what is wrong, what is allowed, what to write.

    The command line prints the message without a traceback and exits with code 2. Every other exception is
    a defect of ours and keeps its traceback.
    """


def first_three(names: Sequence[str]) -> str:
    """The first three names, and `..` where there are more, for a message."""
    return ", ".join([*names[:3], ".."] if len(names) > 3 else names)
