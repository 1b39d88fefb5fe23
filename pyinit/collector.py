"""The garbage collector from where start-up is over: what was made by then stays, and what comes is seldom a cycle.

Requests and connections are freed by their counts. But a connection is a dozen objects that stay for a while, and by
default the collector walks the young after each 700: once in 30 connections, which was 2 us of each (of some 75), to
find nothing. So it is asked less often. Not never: an exception can leave a cycle behind, and what it holds of a
client's input waits for the next walk.
"""

import gc

_YOUNG_COUNT = 5000


def settle() -> None:
    """Leave what there is alone for good, and look at what comes less often; on again, as imports went without."""
    gc.freeze()
    gc.set_threshold(_YOUNG_COUNT)
    gc.enable()
