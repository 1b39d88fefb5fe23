"""A project for ``pyinitctl check``: files written down, and what is found in them."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, NamedTuple

from pyinit.check import main

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pyinit.check.report import Report

Files = dict[str, str]


class Seen(NamedTuple):
    """A finding without its prose.

    Attributes:
        rule: its id.
        level: as it is written.
        place: file and line.
    """

    rule: str
    level: str
    place: str


def write(directory: Path, files: Mapping[str, str]) -> Path:
    """Files by path; what all lines are indented by is taken off."""
    for path, text in files.items():
        whole = directory / path
        whole.parent.mkdir(parents=True, exist_ok=True)
        whole.write_text(textwrap.dedent(text).lstrip("\n"))
    return directory


def checked(directory: Path, files: Mapping[str, str], *, target: str = "") -> Report:
    """Written and checked."""
    return main.check(write(directory, files), target=target)


def seen(report: Report) -> list[Seen]:
    """In the report's order."""
    return [Seen(one.rule.id, str(one.level), f"{one.path}:{one.line}") for one in report.findings]


def ids(report: Report) -> set[str]:
    """Of the rules that found something."""
    return {one.rule.id for one in report.findings}


# A project in which nothing is found.
CLEAN: Files = {
    "Dockerfile": """
        ARG NODE=node:22.14.0-bookworm-slim@sha256:bc2e4b9bd9a8b4b8b4b6f6ac8e8f7b1f3a2d4c5b6a7988776655443322110099
        FROM ${NODE} AS build
        WORKDIR /app
        COPY package.json package-lock.json ./
        RUN npm ci
        COPY . .
        RUN npm run build && npm prune --omit=dev

        FROM build AS audit
        RUN npm audit --omit=dev --audit-level=high

        FROM ${NODE}
        ENV NODE_ENV=production
        WORKDIR /app
        COPY --from=build /app/node_modules ./node_modules
        COPY --from=build /app/dist ./dist
        USER node
        EXPOSE 8080
        HEALTHCHECK CMD ["pyinitctl", "health"]
        ENTRYPOINT ["pyinit", "--listen", "8080", "--"]
        CMD ["node", "dist/server.js"]
        """,
    ".dockerignore": "node_modules\n.git\n.env*\n",
    "package.json": '{"dependencies": {"express": "^5"}, "devDependencies": {"typescript": "^5"}}\n',
    "package-lock.json": "{}\n",
    "src/server.ts": "import express from 'express';\n",
    "compose.yaml": """
        services:
          web:
            build: .
            ports: ["80:8080"]
            environment:
              PYINIT_STOP_TIMEOUT: "30"
            stop_grace_period: 30s
            read_only: true
            restart: unless-stopped
        """,
    "task.json": """
        {
          "family": "web",
          "containerDefinitions": [
            {
              "name": "web",
              "image": "web:1.2.3",
              "essential": true,
              "readonlyRootFilesystem": true,
              "stopTimeout": 60,
              "healthCheck": {"command": ["CMD", "pyinitctl", "health"]},
              "environment": [{"name": "PYINIT_STOP_TIMEOUT", "value": "60"}]
            }
          ]
        }
        """,
}
