"""The exception tree: what failed, on which side, and what the outside is told.

PyinitError
  SettingsError               a bad flag or variable; the text names it and what is accepted    exit 2
  ListenError                 a public address that cannot be had                               exit 2 / 125
  SpawnError                  the command cannot be run                                         exit 127 / 126 / 1
  ProtocolError               status_hint, reason; raised by http1, which knows no side
  UpstreamError               the child's side failed; 502 unless stated
    UpstreamConnectError        nothing was sent
    UpstreamClosed              reused and response_bytes decide the replay
    UpstreamTimeout             504
    UpstreamProtocolError       a ProtocolError from the child
  DrainAborted                ended by us: the drain deadline, or the child is gone
"""


class Shown(Exception):  # not an error: the user asked for a text, and that is the whole run
    """-h, -l or --version was given; the text is to be printed on stdout."""


class PyinitError(Exception):
    """Whatever pyinit itself has to say about a failure."""


class SettingsError(PyinitError):
    """A bad option, variable or combination; the text is the whole line for the user."""


class ListenError(PyinitError):
    """A public address cannot be bound.

    Args:
        text: the whole line for the user.
        exit_code: 2 where the address itself is wrong, 125 where somebody else has it.
    """

    def __init__(self, text: str, exit_code: int) -> None:
        super().__init__(text)
        self.exit_code = exit_code


class SpawnError(PyinitError):
    """The child could not be started: the text is ``STEP failed: REASON``, as tini words it.

    Args:
        step: what was tried: ``exec CMD``, ``fork``, ``setpgid``.
        reason: strerror of it.
        exit_code: tini's: for an exec 127 not found and 126 not executable, else 1.

    Attributes:
        is_exec: it is the command that could not be run, and nothing before it.
    """

    def __init__(self, step: str, reason: str, exit_code: int = 1) -> None:
        super().__init__(f"{step} failed: {reason}")
        self.reason = reason
        self.exit_code = exit_code
        self.is_exec = step.startswith("exec ")


class ProtocolError(PyinitError):
    """A message that RFC 9110 or 9112 does not allow, or that could be read two ways.

    Args:
        reason: one clause for a person, naming the rule; safe to send and to log.
        status_hint: the status a client at fault is answered with.
    """

    def __init__(self, reason: str, status_hint: int = 400) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status_hint = status_hint


class UpstreamError(PyinitError):
    """The child's side of an exchange failed."""

    status = 502


class UpstreamConnectError(UpstreamError):
    """No connection to the app: nothing was sent."""


class UpstreamClosed(UpstreamError):
    """The app closed before its response was complete.

    Args:
        reused: whether the connection had carried an exchange before.
        response_bytes: how much of this response had come.
    """

    def __init__(self, *, reused: bool, response_bytes: int) -> None:
        super().__init__("the app closed the connection before its response was complete")
        self.reused = reused
        self.response_bytes = response_bytes


class UpstreamTimeout(UpstreamError):
    """The app did not answer, or a connect did not end, in the time allowed."""

    status = 504


class UpstreamProtocolError(UpstreamError):
    """The app's response breaks HTTP/1.1."""


class DrainAborted(PyinitError):
    """Ended by us: the drain's deadline has come, or the app is gone.

    Args:
        reason: one clause for the client and the log.
        status: what a client without a response yet is answered with.
    """

    def __init__(self, reason: str, status: int) -> None:
        super().__init__(reason)
        self.status = status
