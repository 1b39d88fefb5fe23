"""Where pyinitctl begins: a plain ``health`` goes its short way, every other command line to argparse."""

import os
import sys

from pyinit.ctl import health

_INTERRUPTED = 130  # 128 + SIGINT, as a shell has it


def main() -> None:
    """Run the command line; does not return.

    os._exit, as taking the interpreter down costs as much as the answer, and PYTHONINSPECT is meant for the app.
    """
    try:
        code = _run(sys.argv[1:])
    except KeyboardInterrupt:
        code = _INTERRUPTED
    os._exit(code)


def _run(words: list[str]) -> int:
    plain = health.parse(words)
    if plain is not None:
        return health.run(*plain)
    from pyinit.ctl import commands  # noqa: PLC0415  argparse and HTTP, which a health check does without

    return commands.run(words)


if __name__ == "__main__":
    main()
