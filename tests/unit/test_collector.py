"""The garbage collector as it is left to run; in a process of its own, as it is the whole interpreter's."""

import subprocess
import sys

CODE = """
import gc
from pyinit import collector

class Cycle:
    def __init__(self):
        self.own = self

gc.disable()
before = [Cycle() for _ in range(100)]
collector.settle()
frozen = gc.get_freeze_count()
walks = []
gc.callbacks.append(lambda phase, info: phase == "stop" and walks.append(info["collected"]))
kept = [[] for _ in range(4000)]
print(frozen > 100, walks)
del kept
for _ in range(20_000):
    Cycle()
print(0 < len(walks) < 20, sum(walks) > 10_000)
"""


def test_what_is_there_is_frozen_and_what_comes_is_walked_seldom_but_is() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.splitlines() == ["True []", "True True"]
