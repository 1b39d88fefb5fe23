"""The commands but for a plain health: the command line, what each does, and its exit code."""

from __future__ import annotations

import argparse
import difflib
import os
import time
from typing import TYPE_CHECKING, Never

from pyinit import __version__
from pyinit.ctl import find, health, render
from pyinit.ctl.client import Client
from pyinit.ctl.problem import ANSWER_IS_NO, LATE, USAGE, Nobody, Problem
from pyinit.ctl.screen import OutputGone, Screen
from pyinit.values import seconds

if TYPE_CHECKING:
    from collections.abc import Callable

_TIMEOUT_S = 10.0
_REDRAW_S = 1.0
_POLL_S = 0.2
_OUTPUT_GONE = 141  # as SIGPIPE would have it
# drain.phases: nothing is in flight any more.
_DRAINED = ("drained", "stopping", "killing", "done")

_EPILOG = """\
ADDR is @NAME, unix:/path or HOST:PORT; else PYINIT_CONTROL, else what listens in this network namespace: of
several the one of this container (its PID namespace).

exit codes: 0 done, ready; 1 not ready, or something was cut; 2 usage; 3 no pyinit there; 4 not allowed; 5 no answer
in time; 6 what answers is not pyinit. health: 0 ready, 1 anything else. check: 1 errors were found.
"""


def run(words: list[str]) -> int:
    """Run the command line; returns the exit code.

    Args:
        words: without the program's name.
    """
    try:
        return _run(words)
    except Problem as problem:
        _complain(str(problem))
        return problem.exit_code
    except OutputGone:
        return _OUTPUT_GONE


def _run(words: list[str]) -> int:
    commands = {
        "health": (_add_health, "one line, ready or not ready, for a HEALTHCHECK"),
        "status": (_add_status, "how it stands: phase, budget, app, connections, what a drain has done"),
        "drain": (_add_drain, "begin the drain; the app is signalled at the stop that follows"),
        "stop": (_add_stop, "as SIGTERM: drain, then stop the app"),
        "log-level": (_add_log_level, "log this and what is above from here on"),
        "check": (_add_check, "a project's Dockerfile and deployment against the production checklist"),
    }
    parser = _Parser(
        prog="pyinitctl",
        allow_abbrev=False,
        description="Ask and steer a running pyinit; check a project.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"pyinitctl {__version__}")
    parser.add_argument("--control", metavar="ADDR", help="its control socket")
    parser.add_argument("--timeout", metavar="S", type=_seconds, help="for its answer (10; health 2)")
    adding = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command", parser_class=_Parser)
    for name, (add, summary) in commands.items():
        command = adding.add_parser(
            name, allow_abbrev=False, help=summary, description=summary[0].upper() + summary[1:] + "."
        )
        if name != "check":  # which asks nobody
            _add_address(command)
        add(command)
    unknown = _first_word(words)
    if unknown is not None and unknown not in commands:
        near = [name for name in commands if name.startswith(unknown)]
        near += difflib.get_close_matches(unknown, commands, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(commands)}"
        raise Problem(f"no command {unknown!r}: {hint}", USAGE)
    try:
        arguments = parser.parse_args(words)
    except _Shown as shown:
        Screen.write(shown.text)
        return 0
    if arguments.command is None:
        raise Problem(f"a command is needed: {', '.join(commands)}; pyinitctl -h says more", USAGE)
    action: Callable[[argparse.Namespace], int] = arguments.action
    return action(arguments)


def _add_address(command: argparse.ArgumentParser) -> None:
    """Either side of the command; what stands there is not undone by the other's default."""
    command.add_argument("--control", metavar="ADDR", default=argparse.SUPPRESS, help="its control socket")
    command.add_argument(
        "--timeout",
        metavar="S",
        type=_seconds,
        default=argparse.SUPPRESS,
        help="for its answer (10; health 2)",
    )


def _first_word(words: list[str]) -> str | None:
    """The command, which need not be the first: options that take a value go in front."""
    left = iter(words)
    for word in left:
        if word in ("--control", "--timeout"):
            next(left, None)
        elif not word.startswith("-"):
            return word
    return None


# -- health ----------------------------------------------------------------------------------------------------------


def _add_health(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(action=lambda given: health.run(given.control, given.timeout or health.TIMEOUT_S))


# -- status ----------------------------------------------------------------------------------------------------------


def _add_status(parser: argparse.ArgumentParser) -> None:
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="as /status says it")
    form.add_argument("--watch", action="store_true", help="again each second, until Ctrl-C or its end")
    parser.set_defaults(action=_status)


def _status(given: argparse.Namespace) -> int:
    screen = Screen()
    if given.json:
        screen.write(_client(given).status_text() + "\n")
    elif given.watch:
        _watch(given, screen)
    else:
        screen.show(_page(given, screen))
    return 0


def _page(given: argparse.Namespace, screen: Screen) -> list[str]:
    """One pyinit, or the list of several."""
    found = find.candidates(given.control, os.environ.get("PYINIT_CONTROL"))
    if len(found) > 1 and not os.environ.get("PYINIT_CONTROL"):
        seen = [_look(find.Place(text), _timeout_s(given)) for text in found]
        return render.several(seen, width=screen.width, is_coloured=screen.is_coloured)
    client = _client(given)
    status = client.status()
    return render.status(status, address=client.address, width=screen.width, is_coloured=screen.is_coloured)


def _look(place: find.Place, timeout_s: float) -> render.Seen:
    """By its health socket, which costs a pyinit that nobody asks for more next to nothing."""
    pid: int | None = None
    try:
        sock = find.connect(place.health(), timeout_s)
        listener = find.listener_of(sock)
        pid = None if listener is None else listener[0]
        sock.close()
        line = health.ask(place.health(), timeout_s)
    except OSError as problem:
        return render.Seen(place.text, str(find.explain(problem, place, timeout_s)), pid)
    except Problem as problem:
        return render.Seen(place.text, str(problem), pid)
    return render.Seen(place.text, line, pid)


def _watch(given: argparse.Namespace, screen: Screen) -> None:
    is_seen = False
    while True:
        try:
            lines = _page(given, screen)
        except Nobody:
            if not is_seen:
                raise
            _complain("it has ended")
            return
        try:
            screen.show_again(lines)
            is_seen = True
            screen.wait(_REDRAW_S)
        except KeyboardInterrupt:
            return


# -- drain and stop --------------------------------------------------------------------------------------------------


def _add_drain(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--wait",
        metavar="S",
        nargs="?",
        type=_seconds,
        const=float("inf"),
        help="return when nothing is in flight any more, or after S; exit code 1 where something was cut",
    )
    parser.set_defaults(action=_drain)


def _add_stop(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--wait",
        metavar="S",
        nargs="?",
        type=_seconds,
        const=float("inf"),
        help="return when it has ended, or after S; exit code 1 where something was seen to be cut",
    )
    parser.set_defaults(action=_stop)


def _drain(given: argparse.Namespace) -> int:
    return _order(given, "/drain", lambda phase: phase in _DRAINED)


def _stop(given: argparse.Namespace) -> int:
    return _order(given, "/stop", lambda _: False)


def _order(given: argparse.Namespace, path: str, is_over: Callable[[str], bool]) -> int:
    client = _client(given)
    if given.wait is None:
        Screen.write(client.order(path) + "\n")
        return 0
    last = client.status()  # what an earlier drain has cut: after a stop there may be nobody left to say so
    began_s = time.monotonic()
    client.order(path)
    while True:
        try:
            now = client.status()
        except Nobody:
            break  # it has ended, and that is more than drained
        if _number(now, "uptime_s") < _number(last, "uptime_s"):
            break  # so has it, and another has its name
        last = now
        if is_over(str(last.get("phase"))):
            break
        left_s = began_s + given.wait - time.monotonic()
        if left_s <= 0:
            raise Problem(f"{client.address} is still {last.get('phase')} after {given.wait:g} s", LATE)
        time.sleep(min(_POLL_S, left_s))
    return _report(last, time.monotonic() - began_s)


def _report(last: dict[str, object], took_s: float) -> int:
    """What became of what was in flight, as of the last that was heard."""
    outcomes = last.get("outcomes")
    cut_count = _number(outcomes, "cut_count") if isinstance(outcomes, dict) else 0
    screen = Screen()
    screen.show(
        [f"after {render.duration(took_s)}: {render.outcome(last)}", *render.cut_lines(last, screen.width)]
    )
    return ANSWER_IS_NO if cut_count else 0


def _number(fields: dict[str, object], name: str) -> float:
    value = fields.get(name)
    return value if isinstance(value, int | float) else 0


# -- log-level -------------------------------------------------------------------------------------------------------


def _add_log_level(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("level", metavar="LEVEL", help="debug, info, warning or error")
    parser.set_defaults(action=_log_level)


def _log_level(given: argparse.Namespace) -> int:
    client = _client(given)
    try:
        says = client.order("/log-level", given.level)
    except Problem as problem:
        if problem.exit_code != USAGE:
            raise
        raise Problem(f"log-level {given.level}: not {problem}", USAGE) from None
    Screen.write(f"log level {says}\n")
    return 0


# -- check -----------------------------------------------------------------------------------------------------------


def _add_check(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("directory", metavar="DIR", nargs="?", default=".", help="of the project (.)")
    parser.add_argument("--format", metavar="FORM", default="text", help="text, json or sarif")
    parser.add_argument(
        "--ignore", metavar="RULE", action="append", default=[], help="leave a rule out; may be repeated"
    )
    parser.add_argument(
        "--target", metavar="STAGE", default="", help="the stage that is shipped, where it is not the last"
    )
    parser.set_defaults(action=_check)


def _check(given: argparse.Namespace) -> int:
    try:
        from pyinit.check import command  # noqa: PLC0415  tens of milliseconds, and libraries that may not be there
    except ModuleNotFoundError as missing:  # of a bundle for images, modules of the standard library as well
        raise Problem(
            f"check needs more than is installed here ({missing.name} is missing): pip install 'pyinit[check]'",
            USAGE,
        ) from None
    screen = Screen()
    try:
        text, has_errors = command.run(
            given.directory,
            form=given.format,
            ignored_ids=given.ignore,
            target=given.target,
            is_coloured=screen.is_coloured,
        )
    except command.UsageError as problem:
        raise Problem(str(problem), USAGE) from None
    screen.write(text)
    return ANSWER_IS_NO if has_errors else 0


# -- all -------------------------------------------------------------------------------------------------------------


def _client(given: argparse.Namespace) -> Client:
    timeout_s = _timeout_s(given)
    return Client(find.choose(given.control, os.environ.get("PYINIT_CONTROL"), timeout_s), timeout_s)


def _timeout_s(given: argparse.Namespace) -> float:
    return _TIMEOUT_S if given.timeout is None else float(given.timeout)


def _seconds(text: str) -> float:
    try:
        value = seconds(text)
    except ValueError as problem:
        raise argparse.ArgumentTypeError(f"{text!r}: not {problem}") from None
    if not value:
        raise argparse.ArgumentTypeError(f"{text!r}: not more than 0")
    return value


class _Shown(Exception):
    """Help or the version, for stdout."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class _Parser(argparse.ArgumentParser):
    """Argparse whose errors are a line of ours, and whose output goes where ours does."""

    def error(self, message: str) -> Never:
        raise Problem(f"{message}; {self.prog} -h says more", USAGE)

    def print_help(self, file: object = None) -> Never:  # noqa: ARG002  the library's signature
        raise _Shown(self.format_help())

    def _print_message(self, message: str, file: object = None) -> None:  # noqa: ARG002  the library's signature
        """The version's way out."""
        raise _Shown(message)


def _complain(text: str) -> None:
    try:
        os.write(2, f"pyinitctl: {text}\n".encode("utf-8", "backslashreplace"))
    except OSError:
        return  # nobody reads it; the exit code says the same
