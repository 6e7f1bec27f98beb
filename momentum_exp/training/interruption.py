"""A polite end on Ctrl-C, SIGTERM or a scheduler's warning: the step is finished and a checkpoint written."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, ClassVar


class Interrupted(Exception):
    """Training was asked to stop and did so after saving a checkpoint."""


class Stopped(BaseException):
    """Raised by a tracker: the run is to end here and now, for the reason given. It can go on from its checkpoint.

    No Exception, since a tracker that fails does not end a run.
    """


class Interruption:
    """Within the context the first SIGINT or SIGTERM sets `requested`; a second one acts as usual.

    So does SIGUSR2 where something listens to it: submitit is warned by it of SLURM's time limit. `received` is the
    signal that this process was last asked to stop by.

    Signals reach the main thread only; in another thread the context changes nothing. lasting: once requested, all
    further signals are taken too, also after the context (torchrun repeats to its processes what they had from the
    terminal already).
    """

    received: ClassVar[int | None] = None

    def __init__(self, *, lasting: bool = False) -> None:
        self.requested, self.lasting = False, lasting
        self.former: dict[int, Any] = {}

    def __enter__(self) -> "Interruption":
        if threading.current_thread() is threading.main_thread():
            heard = signal.getsignal(signal.SIGUSR2) != signal.SIG_DFL
            for number in (signal.SIGINT, signal.SIGTERM, *([signal.SIGUSR2] if heard else [])):
                self.former[number] = signal.signal(number, self.request)
        return self

    def request(self, number: int, frame: FrameType | None) -> None:
        """Note the signal and, unless lasting, hand the next one to its former owner."""
        self.requested = True
        Interruption.received = number
        if not self.lasting:
            self.restore()

    def restore(self) -> None:
        """Give the signals back."""
        for number, handler in self.former.items():
            signal.signal(number, handler)
        self.former = {}

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not (self.lasting and self.requested):
            self.restore()
