"""The exception tree: what failed, on which side, and what the outside is told.

PyinitError
  SettingsError               a bad flag or variable; the text names it and what is accepted    exit 2
  ListenError                 a public address that cannot be had                               exit 2 / 125
  SpawnError                  the command cannot be run                                         exit 127 / 126
  ProtocolError               status_hint, reason; raised by http1, which knows no side
  UpstreamError               the child's side failed; 502 unless stated
    UpstreamConnectError        nothing was sent
    UpstreamClosed              reused and response_bytes decide the replay
    UpstreamTimeout             504
    UpstreamProtocolError       a ProtocolError from the child
  DrainAborted                ended by us: the drain deadline, or the child is gone
"""


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
    """exec failed.

    Args:
        command: the command as given.
        errno: the errno of the deciding exec.
        reason: strerror of it.
        exit_code: what tini exits with: 127 not found, 126 not executable, else 1.
    """

    def __init__(self, command: bytes, errno: int, reason: str, exit_code: int) -> None:
        super().__init__(f"exec {command.decode(errors='backslashreplace')} failed: {reason}")
        self.errno = errno
        self.exit_code = exit_code


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
