"""The JSON of /status as typed values: what is missing, or of another type, is empty and no error."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class View:
    """A JSON object.

    Args:
        fields: as json reads it.
    """

    def __init__(self, fields: Mapping[str, object]) -> None:
        self._fields = fields

    def number(self, name: str) -> float:
        """A number; 0 where there is none."""
        value = self._fields.get(name)
        return value if isinstance(value, int | float) and not isinstance(value, bool) else 0

    def count(self, name: str) -> int:
        """A whole number."""
        return int(self.number(name))

    def text(self, name: str) -> str:
        """A text on one line that moves no cursor; empty where there is none."""
        value = self._fields.get(name)
        return printable(value) if isinstance(value, str) else ""

    def is_true(self, name: str) -> bool:
        """Whether it says true."""
        return self._fields.get(name) is True

    def has(self, name: str) -> bool:
        """Whether it is there, and not null."""
        return self._fields.get(name) is not None

    def view(self, name: str) -> View:
        """An object within; an empty one where there is none."""
        value = self._fields.get(name)
        return View(value if isinstance(value, dict) else {})

    def views(self, name: str) -> list[View]:
        """Objects of a list."""
        value = self._fields.get(name)
        return [View(one) for one in value if isinstance(one, dict)] if isinstance(value, list) else []

    def texts(self, name: str) -> list[str]:
        """Texts of a list."""
        value = self._fields.get(name)
        return [printable(one) for one in value if isinstance(one, str)] if isinstance(value, list) else []

    def counts(self, name: str) -> list[int]:
        """Whole numbers of a list."""
        value = self._fields.get(name)
        return [one for one in value if isinstance(one, int)] if isinstance(value, list) else []

    def numbers(self) -> Iterator[tuple[str, float]]:
        """Every number, by its name."""
        return (
            (printable(name), self.number(name)) for name, value in self._fields.items() if value is not None
        )

    def __repr__(self) -> str:
        return f"View({dict(self._fields)})"


def printable(text: str) -> str:
    """What a terminal may be given: a target, or who only says to be pyinit, could steer it."""
    return "".join(char if char.isprintable() else "?" for char in text)
