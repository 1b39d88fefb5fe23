"""A shell command that is plain, and what is not. That the shell agrees is for tests/integration/test_words.py."""

from __future__ import annotations

import pytest

from pyinit.init.words import NeedsShell, read


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("words by blanks", b" node\t server.js  ", [b"node", b"server.js"]),
        ("single quotes keep all", b"node -e 'a \"$x\" \\ `'", [b"node", b"-e", b'a "$x" \\ `']),
        ("double quotes keep what is not special", b"node \"a 'b' *\"", [b"node", b"a 'b' *"]),
        ("quotes within a word", b"no'de' a\"b c\"d", [b"node", b"ab cd"]),
        ("an empty word", b"node '' \"\"", [b"node", b"", b""]),
        ("exec in front goes", b"exec node x", [b"node", b"x"]),
        ("a URL and a percent sign", b"node http://x:1/%20,^@+", [b"node", b"http://x:1/%20,^@+"]),
        ("an assignment after the program is an argument", b"env A=1 x", [b"env", b"A=1", b"x"]),
        ("what is beyond ASCII", "node ä".encode(), [b"node", "ä".encode()]),
        ("a builtin that is a program as well", b"true", [b"true"]),
        ("a builtin's name as an argument", b"node exec cd", [b"node", b"exec", b"cd"]),
        ("a newline within quotes", b"node -e 'a\nb'", [b"node", b"-e", b"a\nb"]),
    ],
)
def test_a_plain_command(name: str, text: bytes, words: list[bytes]) -> None:
    plain = read(text)
    assert (plain.words, plain.assignments) == (words, []), name


@pytest.mark.parametrize(
    ("name", "text", "assignments"),
    [
        ("one", b"A=1 node", [(b"A", b"1")]),
        ("several, and one twice", b"A=1 _B2='x y' A= exec node", [(b"A", b"1"), (b"_B2", b"x y"), (b"A", b"")]),
        ("a value with an equals sign", b'O="--a=b c" node', [(b"O", b"--a=b c")]),
        ("a quote within the value", b"A=x'y z' node", [(b"A", b"xy z")]),
    ],
)  # fmt: skip
def test_assignments_in_front(name: str, text: bytes, assignments: list[tuple[bytes, bytes]]) -> None:
    plain = read(text)
    assert (plain.words, plain.assignments) == ([b"node"], assignments), name


@pytest.mark.parametrize("char", [*"$&|;<>(){}*?[]#~!\\`\n"])
def test_what_the_shell_would_read_is_named(char: str) -> None:
    with pytest.raises(NeedsShell) as caught:
        read(f"node a{char}".encode())
    assert str(caught.value) == f"{char!r} needs a shell"
    assert read(f"node '{char}'".encode()).words[1] == char.encode()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "it names no program"),
        (b" \t", "it names no program"),
        (b"A=1", "it names no program"),
        (b"''", "it names no program"),
        (b"exec", "it names no program"),
        (b"exec -a x node", "exec has options"),
        (b"cd app", "'cd' is the shell's own"),
        (b". ./env", "'.' is the shell's own"),
        (b"exec exec node", "'exec' is the shell's own"),
        (b"A=1 source x", "'source' is the shell's own"),
        (b"A+=1 node", "'A+=1' is the shell's own"),
        (b"'A'=1 node", "'A=1' is the shell's own"),
        (b"A''=1 node", "'A=1' is the shell's own"),
        (b"1A=1 node", "'1A=1' is the shell's own"),
        (b"exec A=1 node", "'A=1' is the shell's own"),
        ("ä=1 node".encode(), "'ä=1' is the shell's own"),
        (b"node 'a", "a quote is not closed"),
        (b'node "a', "a quote is not closed"),
        (b'node "$x"', "'$' between double quotes needs a shell"),
        (b'node "`x`"', "'`' between double quotes needs a shell"),
        (b'node "a\\"b"', "'\\\\' between double quotes needs a shell"),
        (b"node \x0bx", "it holds a control character"),
        (b"node 'a\0'", "it holds a control character"),
        (b"node\r", "it holds a control character"),
    ],
)
def test_what_is_not_plain(text: bytes, reason: str) -> None:
    with pytest.raises(NeedsShell) as caught:
        read(text)
    assert str(caught.value) == reason


def test_it_shows_what_it_holds() -> None:
    assert repr(read(b"A=1 node")) == "Plain([(b'A', b'1')], [b'node'])"
