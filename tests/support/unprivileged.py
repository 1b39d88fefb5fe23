"""Words to put before a command: it runs as a user with no capabilities, who reaches all there is to run."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from tests.support.process import ROOT


def sh(script: str) -> tuple[str, ...]:
    """Words that run a shell script and then become what follows."""
    return ("sh", "-ec", f'{script}\nexec "$@"', "-")


def _folder_of(program: str) -> list[Path]:
    path = shutil.which(program)
    return [Path(path).resolve().parent] if path else []


REACHED = (Path(sys.base_prefix), Path(sys.prefix), ROOT, *_folder_of("node"))


def everybody_can_reach(tmp_path: Path) -> str:
    """A script that leaves, of a folder closed to others, what is ours to run, at its old place."""
    hold, empty, back = [], {}, []
    for i, path in enumerate(REACHED):
        closed = next((up for up in reversed(path.parents) if not up.stat().st_mode & 1), None)
        if closed is not None:
            (tmp_path / str(i)).mkdir()
            hold.append(f"mount --bind {path} {tmp_path / str(i)}")
            empty[closed] = f"mount -t tmpfs -o mode=755 none {closed}"
            back.append(f"mkdir -p {path}\nmount --bind {tmp_path / str(i)} {path}")
    return "\n".join([*hold, *empty.values(), *back])


NOBODY = (
    *("setpriv", "--reuid=1000", "--regid=1000", "--clear-groups", "--inh-caps=-all"),
    *("--bounding-set=-all", "--no-new-privs"),
)
