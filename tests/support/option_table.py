"""The README's option tables, made from the options themselves: ``python -m tests.support.option_table``."""

from pyinit import options


def option_tables() -> str:
    """Markdown, one table a section."""
    parts = []
    for title, section in options.SECTIONS:
        parts += [f"**{title}**", "", "| option | default | |", "|---|---|---|"]
        for option in section:
            usage = f"--{option.name} {option.metavar}".rstrip()
            parts.append(f"| `{usage}` | {option.default} | {option.text} |")
        parts.append("")
    return "\n".join(parts).rstrip() + "\n"


if __name__ == "__main__":
    print(option_tables(), end="")  # noqa: T201  a generator's output
