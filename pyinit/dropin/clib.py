"""A command line as the C library reads it: GNU getopt's permutation, abbreviations and messages; strtol's numbers.

The standard library's ``getopt`` knows neither its messages nor options that end where the first is wrong, and imports
gettext and re.
"""

from __future__ import annotations

from pyinit.errors import PyinitError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# tini's highest level, TRACE.
_EVERYTHING = 4


class GetoptError(PyinitError):
    """A wrong option; the text is the C library's, without the program's name."""


class Getopt:
    """One command line, read lazily: what stands before a wrong option has counted by then.

    Args:
        words: without the program's name.
        shorts: the letters, each with a ``:`` after it where it takes a value.
        longs: name -> its letter. A name may be shortened while that is unambiguous.
        permutes: options after the first other word count as well, up to ``--``.

    Attributes:
        rest: the command, once the options have been read.
    """

    __slots__ = ("_longs", "_permutes", "_shorts", "_words", "rest")

    def __init__(
        self, words: list[str], shorts: str, longs: Mapping[str, str] | None = None, *, permutes: bool
    ) -> None:
        self._words = list(words)
        self._shorts = shorts
        self._longs = longs
        self._permutes = permutes
        self.rest: list[str] = []

    def __iter__(self) -> Iterator[tuple[str, str]]:
        """Letter and value (empty without one) of each option. Raises GetoptError."""
        words, command = self._words, self.rest
        while words:
            word = words.pop(0)
            if word == "--":
                break
            if self._longs is not None and word.startswith("--"):
                yield self._long(word)
            elif word.startswith("-") and word != "-":
                yield from self._letters(word[1:])
            else:
                command.append(word)
                if not self._permutes:
                    break
        command += words
        words.clear()

    def _letters(self, rest: str) -> Iterator[tuple[str, str]]:
        while rest:
            letter, rest = rest[0], rest[1:]
            at = -1 if letter == ":" else self._shorts.find(letter)
            if at < 0:
                raise GetoptError(f"invalid option -- '{letter}'")
            if self._shorts[at + 1 : at + 2] != ":":
                yield letter, ""
                continue
            if not rest:
                if not self._words:
                    raise GetoptError(f"option requires an argument -- '{letter}'")
                rest = self._words.pop(0)
            yield letter, rest
            return

    def _long(self, word: str) -> tuple[str, str]:
        longs = self._longs or {}
        given, equals, value = word[2:].partition("=")
        fitting = [given] if given in longs else [name for name in longs if name.startswith(given)]
        if not fitting:
            raise GetoptError(f"unrecognized option '{word}'")
        if len({longs[name] for name in fitting}) > 1:
            names = " ".join(f"'--{name}'" for name in fitting)
            raise GetoptError(f"option '{word}' is ambiguous; possibilities: {names}")
        name, letter = fitting[0], longs[fitting[0]]
        takes_value = letter + ":" in self._shorts
        if equals and not takes_value:
            raise GetoptError(f"option '--{name}' doesn't allow an argument")
        if takes_value and not equals:
            if not self._words:
                raise GetoptError(f"option '--{name}' requires an argument")
            value = self._words.pop(0)
        return letter, value


def strtol(text: str) -> tuple[int, str]:
    """A decimal number at the beginning of a text, and what follows it; 0 and the whole text where there is none."""
    bare = text.lstrip(" \t\n\v\f\r")
    digits = bare[1:] if bare[:1] in ("+", "-") else bare
    rest = digits.lstrip("0123456789")
    number = digits[: len(digits) - len(rest)]
    if not number:
        return 0, text
    # Longer than any limit of ours, and int() refuses more than 4300 digits.
    value = int(number) if len(number) < 20 else 1 << 63
    return (-value if bare.startswith("-") else value), rest


def verbosity(text: str) -> int:
    """TINI_VERBOSITY as tini reads it: 0 where it is no number, and everything below 0, as its own is unsigned."""
    value = strtol(text)[0]
    return value if value >= 0 else _EVERYTHING
