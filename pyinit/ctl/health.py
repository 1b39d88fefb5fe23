"""``pyinitctl health``: one line and an exit code, for a HEALTHCHECK that runs every few seconds for ever.

No HTTP where a health socket can be asked, and no argparse: each costs more than all of this.
"""

import os
import time

from pyinit.ctl import find
from pyinit.ctl.problem import ANSWER_IS_NO, FORBIDDEN, Nobody, Problem, is_late, is_not_pyinit

TIMEOUT_S = 2.0
_ANSWER_MAX_BYTES = 4096
# As settings reads PYINIT_FRONT.
_OFF = ("off", "0", "false", "no")
_OFF_LINE = "not asked: PYINIT_FRONT is off, and the app alone there\n"

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket


def parse(words: list[str]) -> tuple[str | None, float] | None:
    """--control and --timeout of a plain ``health``; None for anything else, which argparse judges.

    Args:
        words: without the program's name.
    """
    if "health" not in words:
        return None
    control, timeout_s, is_health = None, TIMEOUT_S, False
    left = iter(words)
    for word in left:
        if word == "health" and not is_health:
            is_health = True
            continue
        name, equals, value = word.partition("=")
        if name not in ("--control", "--timeout"):
            return None
        if not equals:
            value = next(left, "")
        if name == "--control" and value:
            control = value
        elif name == "--timeout" and value.isascii() and value.isdigit() and int(value):
            timeout_s = float(value)
        else:
            return None
    return (control, timeout_s) if is_health else None


def run(control: str | None, timeout_s: float) -> int:
    """Ask, print the line, and return 0 for ready, 1 for anything else.

    Where the proxy is switched off there is nobody to ask, and the image's HEALTHCHECK is the same: an app that was
    to run without the proxy must not be ended for that.
    """
    is_off = os.environ.get("PYINIT_FRONT") in _OFF
    if is_off and not control:
        _write(1, _OFF_LINE)
        return 0
    try:
        place = find.choose(control, os.environ.get("PYINIT_CONTROL"), timeout_s)
        line = ask(place.health(), timeout_s)
    except Problem as problem:
        if is_off and isinstance(problem, Nobody):
            _write(1, _OFF_LINE)
            return 0
        _write(2, f"pyinitctl: {problem}\n")
        return ANSWER_IS_NO
    _write(1, line + "\n")
    return 0 if line == "ready" else ANSWER_IS_NO


def ask(place: find.Place, timeout_s: float) -> str:
    """What pyinit says of itself: ``ready`` or ``not ready: why``. Raises Problem."""
    end_s = time.monotonic() + timeout_s
    try:
        sock = find.connect(place, timeout_s)
    except OSError as problem:
        raise find.explain(problem, place, timeout_s) from None
    try:
        if place.name is None:
            request = f"GET /readyz HTTP/1.1\r\nHost: {place.host}\r\nConnection: close\r\n\r\n"
            sock.sendall(request.encode())
        answer = _read(sock, end_s)
        if place.name is not None and answer.startswith(b"refused: "):
            raise _refused(place, sock)
    except TimeoutError:
        raise is_late(place.text, timeout_s) from None
    except OSError as problem:
        raise find.explain(problem, place, timeout_s) from None
    finally:
        sock.close()
    line = line_of(answer, is_http=place.name is None)
    if line is None:
        raise is_not_pyinit(place.text)
    return line


def line_of(answer: bytes, *, is_http: bool) -> str | None:
    """The line in all that was answered; None where pyinit would not have said that."""
    if is_http:
        head, _, answer = answer.partition(b"\r\n\r\n")
        if not head.startswith((b"HTTP/1.1 200 ", b"HTTP/1.1 503 ")):
            return None
    text = answer.decode("utf-8", "replace").rstrip("\n")
    is_ours = text == "ready" or text.startswith("not ready: ")
    return text if is_ours and text.isprintable() else None


def _read(sock: "_socket.socket", end_s: float) -> bytes:
    data = b""
    while len(data) < _ANSWER_MAX_BYTES:
        left_s = end_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        sock.settimeout(left_s)
        more = sock.recv(_ANSWER_MAX_BYTES)
        if not more:
            break
        data += more
    return data


def _refused(place: find.Place, sock: "_socket.socket") -> Problem:
    """It answers its own user and root."""
    listener = find.listener_of(sock)
    uid = "unknown" if listener is None else listener[1]
    return Problem(
        f"{place.text} does not answer uid {os.geteuid()}: its own user (uid {uid}) or root may ask",
        FORBIDDEN,
    )


def _write(fd: int, text: str) -> None:
    try:
        os.write(fd, text.encode("utf-8", "surrogateescape"))
    except OSError:
        return  # nobody reads it; the exit code says the same
