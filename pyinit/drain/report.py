"""The drain's report: one event's fields, from the machine's times and the outcomes."""

from dataclasses import asdict

from pyinit.drain.outcomes import Outcomes
from pyinit.drain.phases import DrainMachine, Phase


def report_fields(machine: DrainMachine, outcomes: Outcomes, end_s: float) -> dict[str, object]:
    """What ``drain.finished`` carries.

    Args:
        machine: whose phases are reported.
        outcomes: counted since the drain began.
        end_s: monotonic; the end of the last phase.

    Returns:
        duration_s, phases_s (name -> seconds), the counts by their names in Outcomes, and the cut exchanges.
    """
    fields: dict[str, object] = {"phases_s": phase_durations_s(machine, end_s), **asdict(outcomes)}
    if machine.began_s is not None:
        fields["duration_s"] = round(end_s - machine.began_s, 3)
    return fields


def phase_durations_s(machine: DrainMachine, end_s: float) -> dict[str, float]:
    """How long each phase of the stop took, in order; those that were passed through at once are left out."""
    steps = sorted(
        ((at, phase) for phase, at in machine.entered_s.items() if phase not in (Phase.SERVING, Phase.DONE)),
        key=lambda step: step[0],
    )
    ends = [at for at, _ in steps[1:]] + [end_s]
    return {
        phase.value: round(end - at, 3)
        for (at, phase), end in zip(steps, ends, strict=False)  # an app that exits by itself has no steps
        if end - at >= 0.0005
    }
