"""The phase diagram of the README, from the machine's own tables.

``python -m tests.support.diagram`` prints it. A drawing kept by hand is wrong
after the second change; test_phases.py compares the README with this.
"""

from pyinit.drain.phases import TRANSITIONS, WITHOUT_STOP, Phase


def edges() -> dict[tuple[Phase, Phase], list[str]]:
    """(from, to) -> what leads there: event names in the tables' order; edges by phase, then by target."""
    found: dict[tuple[Phase, Phase], list[str]] = {}
    for table in (TRANSITIONS, WITHOUT_STOP):
        for (phase, event), transition in table.items():
            if transition.to is not None:  # IGNORED leads nowhere
                found.setdefault((phase, transition.to), []).append(event.__name__)
    for pair in {(phase, transition.to) for (phase, _), transition in WITHOUT_STOP.items() if transition.to}:
        found[pair].append("no stop signal yet")
    order = list(Phase)
    return dict(sorted(found.items(), key=lambda item: [order.index(phase) for phase in item[0]]))


def diagram() -> str:
    """A mermaid ``stateDiagram-v2`` in its code fence, without a final line end."""
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {Phase.STARTING.name}"]
    for (start, to), events in edges().items():
        lines.append(f"    {start.name} --> {to.name}: {', '.join(events)}")
    lines += [f"    {Phase.DONE.name} --> [*]", "```"]
    return "\n".join(lines)


if __name__ == "__main__":
    print(diagram())  # noqa: T201  a program's output
