"""What can go wrong for pyinitctl, each kind with the exit code that the README lists."""

ANSWER_IS_NO = 1
USAGE = 2
NOBODY = 3
FORBIDDEN = 4
LATE = 5
FOREIGN = 6


class Problem(Exception):
    """A sentence for the operator.

    Args:
        text: what is wrong and, where there is one, the way out.
        exit_code: one of the above.
    """

    def __init__(self, text: str, exit_code: int) -> None:
        super().__init__(text)
        self.exit_code = exit_code


class Nobody(Problem):
    """Nothing listens there; or what did is gone."""

    def __init__(self, text: str) -> None:
        super().__init__(text, NOBODY)


def is_not_pyinit(address: str) -> Problem:
    """Something else listens at the address that was given."""
    return Problem(f"what answers at {address} is not pyinit", FOREIGN)


def is_late(address: str, timeout_s: float) -> Problem:
    """Somebody listens, and says nothing."""
    return Problem(f"{address} does not answer within {timeout_s:g} s: pyinit is stuck, or stopped", LATE)
