"""How often does a reverse proxy do with an odd message what no RFC allows? Ours, and Debian's packages of others.

Every row of tests/corpus is sent to each as a plain reverse proxy in front of a recording app; their configurations
are in tests/support/targets.py. A row allows every outcome that the RFCs leave to an intermediary, refusals above all;
pyinit is held to the first of them alone, what its design has chosen. A failure is one of: what reached the app is no
message to a strict reader; another number of messages than were sent; another method, target, body or field than it
must be; an answer that belongs to another request; a broken response passed on as a whole one; a MUST of RFC 9110 or
9112 not kept (Max-Forwards, fields that Connection names, 1xx to HTTP/1.0, a malformed Host).

Not a measure of security by itself: a row that fails is a difference, and whether it is of use to anybody depends on
what stands before and behind. ``--names`` lists all that fail, so that each can be disputed: ``--why`` adds what came.

Finding: Debian 12, in the README. Most of nginx's and Apache's are responses that are passed on although they are
broken; of HAProxy's, Host without any check; of Caddy's, responses cut in the middle that end as if they were whole.

Run beside an installed pyinit: .venv/bin/python benchmarks/conformance.py. The peers: apt-get install nginx-light
haproxy caddy apache2; those that are missing are left out.
"""

from __future__ import annotations

import argparse
import asyncio
import sys

import measuring

sys.path.insert(0, str(measuring.ROOT))

from tests.corpus.everything import TOPICS
from tests.support.conformance_run import Results, against
from tests.support.judging import judge
from tests.support.targets import OURS, PEERS, Target

# Several rows at once, as a peer that waits for more says so only by silence.
_LANES = 8
_PATIENCE_S = 1.0
# Long enough for a peer that watches its idle connections; the others look before they use one again.
_SETTLE_S = 0.03


def run(target: Target) -> Results:
    """All rows against one proxy."""
    is_ours = target is OURS
    return asyncio.run(
        against(
            target,
            lane_count=1 if is_ours else _LANES,
            patience_s=5.0 if is_ours else _PATIENCE_S,
            settle_s=5.0 if is_ours else _SETTLE_S,
        )
    )


def failures(target: Target, results: Results) -> dict[str, list[tuple[str, str]]]:
    """Topic -> name and reason of each row that failed."""
    found: dict[str, list[tuple[str, str]]] = {}
    for topic, rows in results.items():
        for case, observed in rows:
            outcomes = case.outcomes[:1] if target is OURS else case.outcomes
            if reason := judge(case, observed, outcomes):
                found.setdefault(topic, []).append((f"{case.name} ({case.rfc})", reason))
    return found


def main() -> None:
    """Print the table."""
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("--names", action="store_true", help="list the rows that failed")
    options.add_argument("--why", action="store_true", help="with what came instead")
    options.add_argument("--only", help="the name of one proxy")
    chosen = options.parse_args()
    targets = [
        target
        for target in (OURS, *PEERS)
        if target.find() and (chosen.only is None or chosen.only.lower() in target.name.lower())
    ]
    found = {}
    for target in targets:
        measuring.say(f"{target.name}...")
        found[target.name] = failures(target, run(target))
    total = sum(map(len, TOPICS.values()))
    heads = ["topic", "rows", *(f"{target.name} {target.version_text()}" for target in targets)]
    rows = [
        [topic, str(len(cases)), *(str(len(found[target.name].get(topic, ()))) for target in targets)]
        for topic, cases in TOPICS.items()
    ]
    counts = [sum(map(len, found[target.name].values())) for target in targets]
    rows.append(
        ["**failed in all**", str(total), *(f"**{count}** ({count / total:.1%})" for count in counts)]
    )
    print(measuring.table(heads, rows))
    print(f"\n{measuring.machine()}")
    if chosen.names or chosen.why:
        for target in targets:
            print(f"\n## {target.name}\n")
            for topic, failed in found[target.name].items():
                for name, reason in failed:
                    print(f"- {topic}: {name}" + (f"\n  {reason[:1000]}" if chosen.why else ""))


if __name__ == "__main__":
    main()
