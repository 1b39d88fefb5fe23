"""Run one target under atheris, which mutates inputs towards code that none has reached yet.

    python -m tests.fuzz.run request_stream -max_total_time=600

What follows the name is libFuzzer's (-help=1 lists it); a folder among it is a corpus to begin from and to add to.
A finding ends the run and leaves its bytes in a file ``crash-...`` in the working directory, or under
``-artifact_prefix``; a test in tests/unit/ then names them, beside the mend.
"""

import os
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["pyinit.http1"]):
    from tests.fuzz.registry import TARGETS
    from tests.fuzz.target import Target

_MAX_BYTES = 2048  # a longer input says nothing more about the grammar, and takes its time


def main() -> None:
    """See above."""
    if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
        sys.exit(f"usage: python -m tests.fuzz.run {{{','.join(TARGETS)}}} [libFuzzer options]")
    target = TARGETS[sys.argv[1]]
    # One place, written anew: a finding ends the process without a chance to clean up.
    folder = Path(tempfile.gettempdir()) / f"pyinit-fuzz-{os.getuid()}-{target.name}"
    atheris.Setup([sys.argv[0], *_arguments(target, folder), *sys.argv[2:]], target.check)
    atheris.Fuzz()


def _arguments(target: Target, folder: Path) -> list[str]:
    """Our own limits, words and seeds; the seeds behind whatever corpus was given, as it is added to the first."""
    seeds = folder / "seeds"
    seeds.mkdir(parents=True, exist_ok=True)
    words = folder / "words"
    words.write_text("".join(f'"{_escaped(word)}"\n' for word in target.words))
    for number, seed in enumerate(target.seeds):
        (seeds / str(number)).write_bytes(seed)
    sys.argv.append(os.fspath(seeds))
    return [f"-max_len={_MAX_BYTES}", f"-dict={words}", "-timeout=20"]


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)


if __name__ == "__main__":
    main()
