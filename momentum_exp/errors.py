"""The one exception that means: the user can mend this."""


class UserError(ValueError):
    """A mistake of the user's, said in one message: what is wrong, what is allowed, what to write.

    The command line prints the message without a traceback and exits with code 2. Every other exception is
    a defect of ours and keeps its traceback.
    """
