"""Shell text as simple commands: as much of the grammar as tells what a RUN line or a script starts, and no more."""

from __future__ import annotations

import functools
import posixpath
import re
import shlex
from typing import NamedTuple

_SEPARATORS = frozenset(";&|()")
# Words in front of a command that are not its name.
_LEADING = frozenset(("if", "then", "elif", "else", "while", "until", "do", "!", "{", "time", "sudo", "exec"))
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
_EXEC_LINE = re.compile(r"(?m)(?:^|[;&|({]|\bthen\b|\belse\b|\bdo\b)[ \t]*exec[ \t]+(?P<rest>[^\n;]+)")


class Simple(NamedTuple):
    """One simple command.

    Attributes:
        words: program and arguments.
        assignments: in front of it.
        directory: where it runs; ``cd`` is followed.
        is_exec: the shell gives its place to it.
    """

    words: tuple[str, ...]
    assignments: dict[str, str]
    directory: str
    is_exec: bool = False

    @property
    def program(self) -> str:
        """Its name without directories."""
        return posixpath.basename(self.words[0]) if self.words else ""


@functools.lru_cache(maxsize=4096)  # each rule asks for the same ones again
def commands(script: str, directory: str = "/") -> tuple[Simple, ...]:
    """Every simple command of a script, in order; what is no such thing is left out.

    Args:
        script: lines of a shell.
        directory: where it begins.
    """
    lines = [line for line in script.splitlines() if not line.lstrip().startswith("#")]
    text = " ; ".join(line.removesuffix("\\") if line.endswith("\\") else line for line in lines)
    lexer = shlex.shlex(text, posix=True, punctuation_chars=True)
    lexer.whitespace_split, lexer.commenters = True, ""
    try:
        tokens = list(lexer)
    except ValueError:  # a quote that does not end: of another shell, or cut by us
        tokens = text.replace(";", " ; ").replace("&&", " && ").split()
    found: list[Simple] = []
    words: list[str] = []
    for token in [*tokens, ";"]:
        if not set(token) <= _SEPARATORS:
            words.append(token)
            continue
        simple = _simple(words, directory)
        words = []
        if simple is None:
            continue
        if simple.words[0] == "cd" and len(simple.words) > 1:
            directory = posixpath.normpath(posixpath.join(directory, simple.words[1]))
        found.append(simple)
    return tuple(found)


def _simple(words: list[str], directory: str) -> Simple | None:
    assignments: dict[str, str] = {}
    is_exec = False
    at = 0
    while at < len(words):
        word = words[at]
        if word in _LEADING:
            is_exec = is_exec or word == "exec"
        elif _ASSIGNMENT.match(word):
            name, _, value = word.partition("=")
            assignments[name] = value
        else:
            return Simple(tuple(words[at:]), assignments, directory, is_exec)
        at += 1
    return None


def exec_lines(script: str) -> list[str]:
    """What a script gives its place to: the rest of each line after ``exec``, without redirections alone."""
    lines = [line for line in script.splitlines() if not line.lstrip().startswith("#")]
    rests = [match["rest"].strip() for match in _EXEC_LINE.finditer("\n".join(lines))]
    return [rest for rest in rests if not rest.startswith((">", "<", "1>", "2>"))]


def split(text: str) -> tuple[str, ...]:
    """One command's words."""
    try:
        return tuple(shlex.split(text))
    except ValueError:
        return tuple(text.split())
