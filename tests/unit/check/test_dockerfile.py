"""A Dockerfile read as the image it makes, where an engine would surprise who reads it line by line."""

from __future__ import annotations

import textwrap

import pytest

from pyinit.check import install
from pyinit.check.dockerfile import Dockerfile, Unreadable, read


def parsed(text: str) -> Dockerfile:
    return read("Dockerfile", textwrap.dedent(text).lstrip("\n"))


def test_a_heredoc_holds_no_instructions() -> None:
    file = parsed(
        """
        FROM node:22
        RUN <<ONE bash && cat <<-"TWO" > /x
        USER root
        ONE
        \tCMD npm start
        \tTWO
        COPY <<EOF /app/x.js
        ENTRYPOINT ["sh"]
        EOF
        USER node
        """
    )
    stage = file.stages[-1]
    assert stage.user is not None
    assert (stage.user.value, stage.user.line) == ("node", 10)
    assert stage.cmd is stage.entrypoint is None
    assert stage.copies[0].sources == ()
    assert (stage.runs[0].line, stage.runs[0].end_line) == (2, 6)


def test_the_script_of_a_heredoc_is_what_runs() -> None:
    file = parsed("FROM node:22\nWORKDIR /a\nRUN <<EOF\nset -e\n# npm install\nnpm ci --omit=dev\nEOF\n")
    (call,) = install.calls(file.stages[0].runs[0])
    assert call == install.Install("npm", "ci", is_production=True, directory="/a", text="npm ci --omit=dev")


def test_the_escape_directive_and_comments_within_a_line() -> None:
    file = parsed('# escape=`\nFROM node:22\nENV A=C:\\ `\n  # no end\n  B=2\nCMD [ `\n "node", `\n "x" ]\n')
    stage = file.stages[0]
    assert stage.environment == {"A": "C:\\", "B": "2"}
    assert stage.cmd is not None
    assert (stage.cmd.words, stage.cmd.line, stage.cmd.end_line) == (("node", "x"), 6, 8)


def test_arguments_reach_as_far_as_the_engine_has_them() -> None:
    file = parsed(
        """
        ARG TAG=22
        ARG BASE=node:$TAG-slim
        FROM ${BASE} AS one
        ARG TAG
        ENV SEEN=$TAG UNSEEN=$BASE
        ENV TAG=18
        ARG TAG=20
        ENV STILL=$TAG
        FROM one
        ENV GONE=${TAG:-none}
        """
    )
    one, two = file.stages
    assert one.image == two.image == "node:22-slim"
    assert one.environment == {"SEEN": "22", "UNSEEN": "$BASE", "TAG": "18", "STILL": "18"}
    assert two.environment["GONE"] == "18"


def test_env_is_expanded_with_what_stood_before_its_instruction() -> None:
    stage = parsed("FROM x\nENV a=1\nENV a=2 b=$a\nENV c $a d\n").stages[0]
    assert stage.environment == {"a": "2", "b": "1", "c": "2 d"}


def test_a_stage_inherits_and_its_entrypoint_resets_what_it_inherited() -> None:
    file = parsed(
        """
        FROM node:22 AS base
        USER node
        WORKDIR /app
        CMD ["node", "a"]
        HEALTHCHECK CMD true
        FROM base AS kept
        WORKDIR sub
        FROM base AS reset
        ENTRYPOINT ["tini", "--"]
        FROM base AS own
        CMD ["node", "b"]
        ENTRYPOINT ["tini", "--"]
        HEALTHCHECK NONE
        """
    )
    kept, reset, own = (file.stage(name) for name in ("KEPT", "reset", "3"))
    assert kept is not None
    assert reset is not None
    assert own is not None
    assert kept.user is not None
    assert kept.cmd is not None
    assert (kept.user.line, kept.directory, kept.cmd.words) == (2, "/app/sub", ("node", "a"))
    assert reset.cmd is None
    assert own.cmd is not None
    assert own.cmd.words == ("node", "b")
    assert own.healthcheck is not None
    assert own.healthcheck.words == ()


def test_onbuild_is_for_images_that_are_built_on_it() -> None:
    stage = parsed("FROM node:22\nONBUILD USER root\nONBUILD CMD npm start\nUSER node\n").stages[0]
    assert stage.user is not None
    assert stage.user.value == "node"
    assert stage.cmd is None


def test_a_name_is_a_stage_only_after_it() -> None:
    file = parsed(
        "FROM node AS app\nFROM later\nCOPY --from=2 /a /b\nCOPY --from=app /a /b\nFROM x AS later\n"
    )
    assert [stage.parent for stage in file.stages] == [None, None, None]
    assert [copy.source_stage for copy in file.stages[1].copies] == [None, 0]
    assert file.stage("nobody") is None


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("FROM a\nFROMM b\n", 2),
        ("FROM a\nCOPY x\n", 2),
        ("FROM a\nRUN <<X\ntrue\n", 2),
        ("ENV A=1\nFROM a\n", 1),
        ("FROM\n", 1),
        ("FROM a\n\nUSER\n", 3),
        ("# nothing\n", 1),
        ("FROM a\nENV B=${C\n", 2),
    ],
)
def test_what_an_engine_refuses_is_refused_with_its_line(text: str, line: int) -> None:
    with pytest.raises(Unreadable) as refusal:
        read("Dockerfile", text)
    assert refusal.value.line == line
    assert str(refusal.value)
