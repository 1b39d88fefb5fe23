"""Shapes that Dockerfiles have in the wild, each with all that is found in it, and mends that do mend."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.support.checking import Files, checked

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pyinit.check.finding import Finding

_FILES: Files = {
    "package.json": """
        {"scripts": {"start": "node server.js"}, "dependencies": {"express": "^5"}, "devDependencies": {"jest": "^30"}}
        """,
    "package-lock.json": "{}\n",
    ".dockerignore": "node_modules\n.git\n.env*\n",
    "server.js": "process.on('SIGTERM', () => {});\n",
}
_BASE = "FROM node:22.14.0-slim\nWORKDIR /app\n"
_REST = "ENV NODE_ENV=production\nUSER node\nHEALTHCHECK CMD true\n"
_TINI = 'ENTRYPOINT ["tini", "--"]\n'
_CMD = 'CMD ["node", "server.js"]\n'
# Of every one of these: told of in test_rules.
_REMARKS = frozenset(("base-digest", "audit-missing", "single-stage", "dev-package"))


class Shape(NamedTuple):
    """A Dockerfile.

    Attributes:
        name: what is odd about it.
        text: of it.
        found: rules with their lines, but for remarks.
        files: beside it, over what every one has.
    """

    name: str
    text: str
    found: set[tuple[str, int]]
    files: Mapping[str, str] = MappingProxyType({})


SHAPES = [
    Shape("an argument's default within FROM", "ARG V\nFROM node:${V:-lts}\n" + _REST + _TINI + _CMD,
          {("base-unpinned", 2)}),
    Shape("an argument that is not known", "ARG V\nFROM node:${V}\n" + _REST + _TINI + _CMD, set()),
    Shape("a heredoc for a shell by name", _BASE + "RUN <<EOF bash -e\nnpm install\nEOF\n" + _REST + _TINI + _CMD,
          {("npm-install", 3), ("dev-dependencies", 3)}),
    Shape("a heredoc into a shell", _BASE + "RUN /bin/sh -e <<EOF\nnpm install\nEOF\n" + _REST + _TINI + _CMD,
          {("npm-install", 3), ("dev-dependencies", 3)}),
    Shape("a heredoc that is a file", _BASE + "RUN cat <<EOF > x\nnpm install\nEOF\n" + _REST + _TINI + _CMD, set()),
    Shape("CRLF", (_BASE + "RUN npm ci \\\n  --omit=dev\n" + _REST + _TINI + _CMD).replace("\n", "\r\n"), set()),
    Shape("a byte order mark before a directive", "\ufeff# escape=`\n" + _BASE + "RUN npm `\n install\n" + _REST + _TINI
          + _CMD, {("npm-install", 4), ("dev-dependencies", 4)}),
    Shape("a comma behind the last word", _BASE + _REST + _TINI + 'CMD ["node", "server.js",]\n', {("start-shell", 7)}),
    Shape("a comment behind exec form", _BASE + _REST + _TINI + 'CMD ["node", "server.js"] # starts\n',
          {("start-shell", 7)}),
    Shape("distroless, whose entrypoint is node", "FROM gcr.io/distroless/nodejs22-debian12:nonroot\n"
          'ENV NODE_ENV=production\nHEALTHCHECK CMD ["/nodejs/bin/node", "h.js"]\nCMD ["server.js"]\n',
          {("init-missing", 4)}),
    Shape("distroless with nothing to start", "FROM gcr.io/distroless/nodejs22-debian12:nonroot\n"
          'ENV NODE_ENV=production\nHEALTHCHECK CMD ["/nodejs/bin/node", "h.js"]\n', {("start-none", 1)}),
    Shape("distroless under pyinit", "FROM gcr.io/distroless/nodejs22-debian12:nonroot\nENV NODE_ENV=production\n"
          'HEALTHCHECK CMD ["pyinitctl", "health"]\nENTRYPOINT ["pyinit", "--listen", "8080", "--"]\n'
          'CMD ["/nodejs/bin/node", "server.js"]\n', set()),
    Shape("a script under another name", _BASE + "COPY entry.sh /start\n" + _REST + 'ENTRYPOINT ["/start"]\n'
          'CMD ["npm", "start"]\n', {("start-npm", 8)}, {"entry.sh": '#!/bin/sh\nexec tini -- "$@"\n'}),
    Shape("a script written in the Dockerfile", _BASE + "COPY <<EOF /start.sh\n#!/bin/sh\nnode server.js\nEOF\n" + _REST
          + _TINI.replace("]", ', "/start.sh"]'), {("script-exec", 10)}),
    Shape("exec $*", _BASE + "COPY entry.sh /entry.sh\n" + _REST + 'ENTRYPOINT ["/entry.sh"]\nCMD ["yarn", "start"]\n',
          {("start-npm", 8), ("init-missing", 8)}, {"entry.sh": "#!/bin/sh\nexec $*\n"}),
    Shape("a script with exec in one branch alone", _BASE + "COPY s.sh /\n" + _REST + _TINI.replace("]", ', "/s.sh"]'),
          {("script-exec", 7)}, {"s.sh": "#!/bin/sh\nif test -n $W; then\n  exec node w.js\nelse\n  node s.js\nfi\n"}),
    Shape("a script with exec in both", _BASE + "COPY s.sh /\n" + _REST + _TINI.replace("]", ', "/s.sh"]'), set(),
          {"s.sh": "#!/bin/sh\nnpm run migrate\nif test -n $W; then\n  exec node w.js\nelse\n  exec node s.js\nfi\n"}),
    Shape("node --run", _BASE + _REST + _TINI + 'CMD ["node", "--run", "start"]\n', {("start-npm", 7)}),
    Shape("a script named --run", _BASE + _REST + _TINI + 'CMD ["node", "server.js", "--run", "start"]\n', set()),
    Shape("npm's options with values", _BASE + _REST + _TINI + 'CMD ["npm", "--prefix", "/app", "start"]\n',
          {("start-npm", 7)}),
    Shape("npm over two instructions", _BASE + _REST + 'ENTRYPOINT ["tini", "npm"]\nCMD ["start"]\n',
          {("start-npm", 7)}),
    Shape("nodemon by its file", _BASE + _REST + _TINI + 'CMD ["node", "node_modules/.bin/nodemon", "server.js"]\n',
          {("start-dev", 7)}),
    Shape("tsx by its package", _BASE + _REST + _TINI + 'CMD ["node", "/app/node_modules/tsx/dist/cli.mjs", "x.ts"]\n',
          {("start-dev", 7)}),
    Shape("a tool of the project", _BASE + _REST + 'CMD ["node_modules/.bin/next", "start"]\n', {("init-missing", 6)}),
    Shape("Yarn 4 does not look at NODE_ENV", _BASE + _REST + "RUN yarn install --immutable\n" + _TINI + _CMD,
          {("dev-dependencies", 6)}),
    Shape("npm's variable, small", _BASE + "ENV npm_config_omit=dev\nRUN npm ci\n" + _REST + _TINI + _CMD, set()),
    Shape("production in one branch", _BASE + "RUN if test $P; then npm ci --omit=dev; else npm ci; fi\n" + _REST
          + _TINI + _CMD, set()),
    Shape("production in the other", _BASE + "RUN if test $D; then npm ci; else npm ci --omit=dev; fi\n" + _REST
          + _TINI + _CMD, set()),
    Shape("development's in both", _BASE + "RUN if test $D; then npm ci; else yarn install --immutable; fi\n" + _REST
          + _TINI + _CMD, {("dev-dependencies", 3)}),
    Shape("USER by number and group", _BASE + _REST + "USER 1000:1000\n" + _TINI + _CMD, set()),
    Shape("USER of root's number and another group", _BASE + _REST + "USER 0:1000\n" + _TINI + _CMD,
          {("user-root", 6)}),
    Shape("a health check's shell", _BASE + _REST + 'HEALTHCHECK CMD ["sh", "-c", "curl x || exit 1"]\n' + _TINI
          + _CMD, {("healthcheck-tool", 6)}),
    Shape("curl as a word", _BASE + _REST + 'HEALTHCHECK CMD ["node", ";", "curl"]\n' + _TINI + _CMD, set()),
    Shape("ONBUILD", _BASE + "ONBUILD RUN npm install\nONBUILD COPY . .\n" + _REST + _TINI + _CMD, set()),
    Shape("SHELL and exec", _BASE + 'SHELL ["/bin/bash", "-c"]\n' + _REST + _TINI + "CMD exec node server.js\n", set()),
    Shape("npm ci in a stage that is not copied from", "FROM node:22.14.0 AS test\nRUN npm ci\n" + _BASE
          + "RUN npm ci --omit=dev\n" + _REST + _TINI + _CMD, set()),
]  # fmt: skip


def _findings(directory: Path, text: str, files: Mapping[str, str]) -> list[Finding]:
    (directory / "Dockerfile").write_bytes(text.encode())
    found = checked(directory, {**_FILES, **files}).findings
    return [one for one in found if one.rule.id not in _REMARKS]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_what_is_found_is_all_there_is(tmp_path: Path, shape: Shape) -> None:
    findings = _findings(tmp_path, shape.text, shape.files)
    assert {(one.rule.id, one.line) for one in findings} == shape.found, findings


@pytest.mark.parametrize(
    "command",
    [
        "CMD npm start",
        'CMD ["npm", "start"]',
        'CMD ["yarn", "--silent", "start"]',
        'CMD ["pnpm", "-C", "/app", "run", "start"]',
        'CMD ["node", "--run=start"]',
        "CMD node server.js",
        'CMD ["sh", "-c", "node server.js"]',
        "CMD ['node', 'server.js']",
        'CMD ["node", "server.js",]',
        'CMD ["node", "server.js"] # starts',
    ],
)
def test_a_start_is_mended_by_what_its_finding_says(tmp_path: Path, command: str) -> None:
    text = _BASE + _REST + _TINI
    mends = {one.mend for one in _findings(tmp_path, text + command + "\n", {})}
    assert 'CMD ["node", "server.js"]' in mends
    assert not _findings(tmp_path, text + _CMD, {})
