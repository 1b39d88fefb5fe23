"""The README's table of what ``pyinitctl check`` looks at, from the rules: ``python -m tests.support.rule_table``."""

from pyinit.check.rules import RULES


def rule_table() -> str:
    """Markdown, one line a rule."""
    rows = ["| rule | level | what should hold, and the mend |", "|---|---|---|"]
    for rule in RULES.values():
        title = rule.title[0].upper() + rule.title[1:]
        mend = rule.mend.replace("|", "\\|")
        rows.append(f"| `{rule.id}` | {rule.level} | {title}. {mend} |")
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    print(rule_table(), end="")  # noqa: T201  a generator's output
