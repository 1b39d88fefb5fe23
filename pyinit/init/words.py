"""One plain shell command, read exactly as the shell reads it; whatever needs a shell is refused with its reason.

Plain is what every ``/bin/sh`` (dash, bash, busybox) reads alike: words, quotes, assignments in front, an ``exec``.
Nothing is expanded here: refusing a command that could have been read costs a warning, reading one nearly right
would start something else. Not ``shlex``, which imports re and knows neither assignments nor what a ``$`` means.
"""

from __future__ import annotations

from pyinit.errors import PyinitError

# POSIX XCU 2.2 and 2.6: what is not itself outside quotes; braces for bash's expansion, [ ] and ! with them.
_SPECIAL = b"$&|;<>(){}*?[]#~!\\`\n"
_SPECIAL_IN_DOUBLE = b"$`\\"
# Words that sh, bash or busybox runs itself, or reads as grammar. ``true`` and ``false`` are missing on purpose: the
# programs of that name do the same.
_SHELLS_OWN = frozenset(
    b". : alias bg bind break builtin caller case cd chdir command compgen complete compopt continue coproc declare"
    b" dirs disown do done echo elif else enable esac eval exec exit export fc fg fi for function getopts hash help"
    b" history if in jobs kill let local logout mapfile popd printf pushd pwd read readarray readonly return select"
    b" set shift shopt source suspend test then time times trap type typeset ulimit umask unalias unset until wait"
    b" while".split()
)


class NeedsShell(PyinitError):
    """It is not one plain command; the text is the reason, a clause."""


class Plain:
    """A plain command.

    Attributes:
        assignments: name and value, in order.
        words: the program and its arguments, at least one.
    """

    __slots__ = ("assignments", "words")

    def __init__(self, assignments: list[tuple[bytes, bytes]], words: list[bytes]) -> None:
        self.assignments = assignments
        self.words = words

    def __repr__(self) -> str:
        return f"Plain({self.assignments!r}, {self.words!r})"


def read(text: bytes) -> Plain:
    """Read a command.

    Args:
        text: as it stands after ``sh -c``.

    Raises:
        NeedsShell: it is more than a plain command, or none at all.
    """
    words = _split(text)
    assignments = []
    while words and (pair := _assignment(*words[0])) is not None:
        assignments.append(pair)
        words = words[1:]
    if words and words[0][0] == b"exec":
        words = words[1:]
        if words and words[0][0].startswith(b"-"):
            raise NeedsShell("exec has options")
    if not words:
        raise NeedsShell("it names no program")
    program = words[0][0]
    # A+=x and A[0]=x are commands to dash and assignments to bash.
    if program in _SHELLS_OWN or b"=" in program:
        raise NeedsShell(f"{program.decode(errors='backslashreplace')!r} is the shell's own")
    if not program:
        raise NeedsShell("it names no program")
    return Plain(assignments, [word for word, _ in words])


def _split(text: bytes) -> list[tuple[bytes, int]]:
    """Words without their quotes, each with where its first quoted part begins; its length for none."""
    words: list[tuple[bytes, int]] = []
    word = bytearray()
    quoted_at: int | None = None
    at = 0
    while at <= len(text):
        char = text[at : at + 1]
        at += 1
        if char in b" \t":  # the end, which is no byte, as well
            if word or quoted_at is not None:
                words.append((bytes(word), len(word) if quoted_at is None else quoted_at))
            word, quoted_at = bytearray(), None
        elif char in b"'\"":
            part = _quoted(text, at)
            quoted_at = len(word) if quoted_at is None else quoted_at
            word += part
            at += len(part) + 1
        elif char in _SPECIAL:
            raise NeedsShell(f"{char.decode()!r} needs a shell")
        elif char < b" " or char == b"\x7f":
            raise NeedsShell("it holds a control character")
        else:
            word += char
    return words


def _quoted(text: bytes, at: int) -> bytes:
    """What stands from a position on up to the quote that closes the one before it."""
    quote = text[at - 1 : at]
    end = text.find(quote, at)
    if end < 0:
        raise NeedsShell("a quote is not closed")
    part = text[at:end]
    if b"\0" in part:
        raise NeedsShell("it holds a control character")
    if quote == b'"':
        for char in part:
            if char in _SPECIAL_IN_DOUBLE:
                raise NeedsShell(f"{chr(char)!r} between double quotes needs a shell")
    return part


def _assignment(word: bytes, quoted_at: int) -> tuple[bytes, bytes] | None:
    """NAME=value, where neither the name nor the = is quoted."""
    name, equals, value = word.partition(b"=")
    # In bytes, isalnum and isdigit know ASCII alone.
    is_name = name.replace(b"_", b"a").isalnum() and not name[:1].isdigit()
    return (name, value) if equals and is_name and quoted_at > len(name) else None
