"""Every rule, on a project in which nothing is found: with one change it is broken, with another it nearly is."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, NamedTuple

import pytest

from pyinit.check.rules import RULES
from tests.support.checking import CLEAN, Files, checked, ids, seen

if TYPE_CHECKING:
    from pathlib import Path

_CMD = 'CMD ["node", "dist/server.js"]'
_ENTRYPOINT = 'ENTRYPOINT ["pyinit", "--listen", "8080", "--"]\n'
_HEALTH = 'HEALTHCHECK CMD ["pyinitctl", "health"]\n'
_BASE = "node:22.14.0-bookworm-slim@sha256:bc2e4b9bd9a8b4b8b4b6f6ac8e8f7b1f3a2d4c5b6a7988776655443322110099"
_MODULES = "COPY --from=build /app/node_modules ./node_modules\n"


class Case(NamedTuple):
    """A change of the clean project.

    Attributes:
        rule: the one that is broken, or nearly.
        name: what the change is.
        edits: path, old text, new text; an empty old text stands for the whole file.
        line: the text of the line that it is found on; empty where nothing may be found.
        level: of the finding; empty for the rule's own.
        path: of the file it is found in.
    """

    rule: str
    name: str
    edits: tuple[tuple[str, str, str], ...]
    line: str = ""
    level: str = ""
    path: str = "Dockerfile"


def docker(old: str, new: str) -> tuple[tuple[str, str, str], ...]:
    return (("Dockerfile", old, new),)


def without_deployments(*edits: tuple[str, str, str]) -> tuple[tuple[str, str, str], ...]:
    return (*edits, ("compose.yaml", "", ""), ("task.json", "", ""))


def service(new: str) -> tuple[tuple[str, str, str], ...]:
    return (("compose.yaml", "    restart: unless-stopped\n", f"    restart: unless-stopped\n{new}"),)


def container(new: str) -> tuple[tuple[str, str, str], ...]:
    return (("task.json", '"essential": true,', f'"essential": true,\n{new},'),)


_SIDECAR = """,
    {"name": "proxy", "image": "pyinit-sidecar:1.0.0", "readonlyRootFilesystem": true, "stopTimeout": 60,
     "healthCheck": {"command": ["CMD", "pyinitctl", "health"]}, "user": "65532",
     "environment": [{"name": "PYINIT_UPSTREAM", "value": "3000"}, {"name": "PYINIT_STOP_TIMEOUT", "value": "60"}],
     DEPENDS}
  ]
}
"""


def sidecar(depends: str, app: str = "") -> tuple[tuple[str, str, str], ...]:
    return (
        ("task.json", "\n  ]\n}\n", _SIDECAR.replace("DEPENDS", depends)),
        ("task.json", '"essential": true,', f'"essential": true,{app}'),
    )


_WAITING = """  job:
    image: job:1.0.0
    depends_on:
      web:
        condition: service_healthy
"""

BAD = [
    Case("start-npm", "npm start", docker(_CMD, 'CMD ["npm", "start"]'), "CMD"),
    Case("start-npm", "by its path", docker(_CMD, 'CMD ["/usr/local/bin/npm", "start"]'), "CMD"),
    Case("start-npm", "yarn in a shell", docker(_CMD, "CMD cd /app && yarn start"), "CMD"),
    Case(
        "start-npm",
        "as the entrypoint",
        docker(_ENTRYPOINT + _CMD, 'ENTRYPOINT ["pnpm", "start"]'),
        "ENTRYPOINT",
    ),
    Case(
        "start-npm",
        "behind tini",
        docker(_ENTRYPOINT + _CMD, 'ENTRYPOINT ["tini", "-g", "--"]\nCMD ["npx", "x"]'),
        "CMD",
    ),
    Case(
        "start-npm", "in compose", service('    command: ["npm", "start"]\n'), "command", path="compose.yaml"
    ),
    Case(
        "start-npm",
        "in a task",
        container('"command": ["npm", "start"]'),
        '"command": ["npm"',
        path="task.json",
    ),
    Case("start-shell", "shell form", docker(_CMD, "CMD node dist/server.js"), "CMD node"),
    Case("start-shell", "quotes of the wrong kind", docker(_CMD, "CMD ['node', 'dist/server.js']"), "CMD"),
    Case(
        "start-shell",
        "sh -c",
        docker(_CMD, 'CMD ["sh", "-c", "node migrate.js && node dist/server.js"]'),
        "CMD",
    ),
    Case(
        "start-shell",
        "an entrypoint",
        docker(_ENTRYPOINT + _CMD, "ENTRYPOINT node dist/server.js"),
        "ENTRYPOINT",
    ),
    Case("start-dev", "nodemon", docker(_CMD, 'CMD ["nodemon", "src/server.js"]'), "CMD"),
    Case("start-dev", "node --watch", docker(_CMD, 'CMD ["node", "--watch", "src/server.js"]'), "CMD"),
    Case(
        "start-dev",
        "ts-node as a loader",
        docker(_CMD, 'CMD ["node", "-r", "ts-node/register", "src/x.ts"]'),
        "CMD",
    ),
    Case("start-dev", "npx tsx", docker(_CMD, 'CMD ["npx", "tsx", "src/server.ts"]'), "CMD"),
    Case("start-dev", "next dev", docker(_CMD, 'CMD ["next", "dev"]'), "CMD"),
    Case(
        "start-dev",
        "through a script",
        (
            *docker(_CMD, 'CMD ["npm", "start"]'),
            ("package.json", "{", '{"scripts": {"start": "nodemon ."}, '),
        ),
        "CMD",
    ),
    Case("start-manager", "pm2-runtime", docker(_CMD, 'CMD ["pm2-runtime", "dist/server.js"]'), "CMD"),
    Case("start-manager", "forever", docker(_CMD, 'CMD ["/usr/bin/forever", "dist/server.js"]'), "CMD"),
    Case("start-none", "neither", docker(_ENTRYPOINT + _CMD, ""), "FROM ${NODE}"),
    Case(
        "script-exec",
        "no exec",
        (
            *docker(_ENTRYPOINT + _CMD, 'COPY start.sh /\nENTRYPOINT ["/start.sh"]'),
            ("start.sh", "", "#!/bin/sh\nnode migrate.js\nnode dist/server.js\n"),
        ),
        "ENTRYPOINT",
    ),
    Case(
        "script-exec",
        "by its shell",
        (*docker(_CMD, 'CMD ["sh", "./start.sh"]'), ("start.sh", "", "# exec node\nexec > log\nnode x.js\n")),
        "CMD",
    ),
    Case("init-missing", "none", without_deployments(*docker(_ENTRYPOINT, "")), "CMD"),
    Case(
        "init-missing",
        "in compose alone",
        (*docker(_ENTRYPOINT, ""), ("compose.yaml", "build: .", "build: .\n    init: true")),
        "CMD",
    ),
    Case(
        "init-missing",
        "overridden in compose",
        service('    entrypoint: ["node", "dist/server.js"]\n'),
        "web:",
        path="compose.yaml",
    ),
    Case("init-missing", "in a task", container('"entryPoint": ["node"]'), "entryPoint", path="task.json"),
    Case("sigterm-unhandled", "no handler", docker(_ENTRYPOINT, 'ENTRYPOINT ["tini", "--"]\n'), "CMD"),
    Case(
        "sigterm-unhandled",
        "of another signal",
        (
            *docker(_ENTRYPOINT, 'ENTRYPOINT ["pyinit", "--"]\n'),
            ("src/server.ts", "", "process.on('SIGINT', stop); child.kill('SIGTERM');\n"),
        ),
        "CMD",
    ),
    Case("pyinit-options", "unknown", docker('"--listen"', '"--lissen"'), "CMD"),
    Case(
        "pyinit-options",
        "by a variable of compose",
        (("compose.yaml", "PYINIT_STOP_TIMEOUT: ", "PYINIT_WORKERS: many\n      PYINIT_STOP_TIMEOUT: "),),
        "environment:",
        path="compose.yaml",
    ),
    Case("user-root", "no USER", without_deployments(*docker("USER node\n", "")), "FROM ${NODE}"),
    Case("user-root", "the last one", docker("USER node\n", "USER node\nUSER root\n"), "USER root"),
    Case("user-root", "by number", docker("USER node\n", "USER 0:0\n"), "USER 0"),
    Case("user-root", "by ARG", docker("USER node\n", "ARG U=root\nUSER $U\n"), "USER $U"),
    Case(
        "user-root",
        "of another stage alone",
        (*docker("USER node\n", ""), *docker("RUN npm ci", "USER node\nRUN npm ci")),
        "FROM ${NODE}",
    ),
    Case(
        "user-root",
        "an image that is not known",
        (*docker("USER node\n", ""), *docker(_BASE, "corp/base:1@sha256:00")),
        "FROM ${NODE}",
        "warning",
    ),
    Case("user-root", "in compose", service("    user: root\n"), "user: root", path="compose.yaml"),
    Case("user-root", "in a task", container('"user": "0"'), '"user"', path="task.json"),
    Case("healthcheck-missing", "none", without_deployments(*docker(_HEALTH, "")), "FROM ${NODE}"),
    Case("healthcheck-missing", "switched off", docker(_HEALTH, "HEALTHCHECK NONE\n"), "HEALTHCHECK NONE"),
    Case(
        "healthcheck-tool",
        "curl in slim",
        docker(_HEALTH, "HEALTHCHECK CMD curl -f localhost || exit 1\n"),
        "HEALTHCHECK",
    ),
    Case(
        "healthcheck-tool",
        "curl in Alpine",
        (*docker(_HEALTH, 'HEALTHCHECK CMD ["curl", "-f", "x"]\n'), *docker("bookworm-slim", "alpine3.21")),
        "HEALTHCHECK",
    ),
    Case(
        "healthcheck-tool",
        "a shell where there is none",
        (
            *docker(_HEALTH, "HEALTHCHECK CMD node x.js\n"),
            *docker(_BASE, "gcr.io/distroless/nodejs22-debian12:nonroot"),
        ),
        "HEALTHCHECK",
    ),
    Case("stop-signal", "SIGKILL", docker(_CMD, f"STOPSIGNAL SIGKILL\n{_CMD}"), "STOPSIGNAL", "error"),
    Case("stop-signal", "by number", docker(_CMD, f"STOPSIGNAL 9\n{_CMD}"), "STOPSIGNAL", "error"),
    Case("stop-signal", "no signal", docker(_CMD, f"STOPSIGNAL SIGSTOPP\n{_CMD}"), "STOPSIGNAL", "error"),
    Case("stop-signal", "that begins no drain", docker(_CMD, f"STOPSIGNAL SIGQUIT\n{_CMD}"), "STOPSIGNAL"),
    Case(
        "stop-signal", "in compose", service("    stop_signal: SIGUSR1\n"), "stop_signal", path="compose.yaml"
    ),
    Case("expose-listen", "another port", docker("EXPOSE 8080", "EXPOSE 3000/tcp"), "EXPOSE"),
    Case(
        "expose-listen", "published", (("compose.yaml", "80:8080", "80:3000"),), "ports", path="compose.yaml"
    ),
    Case("base-unpinned", "latest", docker(_BASE, "node:latest"), "FROM ${NODE} AS build"),
    Case("base-unpinned", "no tag", docker(_BASE, "localhost:5000/base"), "FROM ${NODE} AS build"),
    Case("base-unpinned", "lts", docker(_BASE, "docker.io/library/node:lts-slim"), "FROM ${NODE} AS build"),
    Case(
        "base-unpinned",
        "in compose",
        service("  cache:\n    image: redis\n"),
        "image: redis",
        path="compose.yaml",
    ),
    Case(
        "base-unpinned", "in a task", (("task.json", "web:1.2.3", "web:latest"),), '"image"', path="task.json"
    ),
    Case("base-digest", "a tag", docker(_BASE, "node:22.14.0-bookworm-slim"), "FROM ${NODE} AS build"),
    Case(
        "single-stage",
        "all in one",
        docker(_MODULES + "COPY --from=build /app/dist ./dist\n", "RUN npm ci --omit=dev\n"),
        "FROM ${NODE}",
    ),
    Case(
        "single-stage",
        "with compilers",
        docker(_MODULES + "COPY --from=build /app/dist ./dist\n", "RUN npm ci --omit=dev && npm run build\n"),
        "FROM ${NODE}",
        "warning",
    ),
    Case("npm-install", "npm install", docker("RUN npm ci\n", "RUN npm install\n"), "RUN npm install"),
    Case(
        "npm-install",
        "npm i in a heredoc",
        docker("RUN npm ci\n", "RUN <<X\nset -e\nnpm i --omit dev\nX\n"),
        "RUN <<X",
    ),
    Case("npm-install", "yarn", docker("RUN npm ci\n", "RUN corepack enable && yarn\n"), "RUN corepack"),
    Case("npm-install", "pnpm", docker("RUN npm ci\n", "RUN pnpm install\n"), "RUN pnpm"),
    Case(
        "npm-install",
        "packages by name",
        docker("RUN npm ci\n", "RUN npm ci && npm install pino\n"),
        "RUN npm ci && npm install",
    ),
    Case("dev-dependencies", "never pruned", docker(" && npm prune --omit=dev", ""), _MODULES.strip()),
    Case(
        "dev-dependencies",
        "the whole directory",
        (*docker(" && npm prune --omit=dev", ""), *docker(_MODULES, "COPY --from=build /app .\n")),
        "COPY --from=build /app .",
    ),
    Case(
        "dev-dependencies",
        "installed again",
        docker(_MODULES, _MODULES + "RUN npm ci --include=dev\n"),
        "RUN npm ci --include",
    ),
    Case(
        "dev-dependencies",
        "in a directory",
        docker(_MODULES, "RUN cd api && NODE_ENV= npm ci\n"),
        "RUN cd api",
    ),
    Case("node-env", "not set", docker("ENV NODE_ENV=production\n", ""), "FROM ${NODE}"),
    Case("node-env", "development", docker("NODE_ENV=production", "NODE_ENV=development"), "ENV NODE_ENV"),
    Case(
        "audit-missing", "none", docker("RUN npm audit --omit=dev --audit-level=high\n", ""), "FROM ${NODE}"
    ),
    Case(
        "audit-missing",
        "switched off",
        docker("RUN npm audit --omit=dev --audit-level=high\n", "RUN npm ci --no-audit && echo audit\n"),
        "FROM ${NODE}",
    ),
    Case(
        "secret-in-image", "in ENV", docker("USER node\n", "ENV API_KEY=abc123\nUSER node\n"), "ENV API_KEY"
    ),
    Case(
        "secret-in-image",
        "from ARG",
        docker("USER node\n", "ARG NPM_TOKEN\nENV T=1 NPM_TOKEN=$NPM_TOKEN\nUSER node\n"),
        "ENV T=1",
    ),
    Case(
        "secret-in-image",
        "ARG",
        docker("USER node\n", "ARG NPM_TOKEN\nUSER node\n"),
        "ARG NPM_TOKEN",
        "warning",
    ),
    Case(
        "secret-in-image",
        "of a build stage",
        docker("RUN npm ci\n", "ARG NPM_TOKEN=x1y2\nRUN npm ci\n"),
        "ARG NPM_TOKEN",
        "warning",
    ),
    Case(
        "secret-in-image",
        "a URL with a password",
        docker("USER node\n", "ENV DB=postgres://a:secret@db/x\nUSER node\n"),
        "ENV DB",
    ),
    Case("secret-in-image", "the file", docker("USER node\n", "COPY .env ./\nUSER node\n"), "COPY .env"),
    Case(
        "secret-in-image",
        "npm's token",
        (
            *docker("USER node\n", "COPY .npmrc ./\nUSER node\n"),
            (".npmrc", "", "//r.example/:_authToken=abc\n"),
        ),
        "COPY .npmrc",
    ),
    Case(
        "secret-in-image",
        "a key",
        docker("USER node\n", "COPY id_rsa /root/.ssh/\nUSER node\n"),
        "COPY id_rsa",
    ),
    Case(
        "secret-in-image",
        "in compose",
        (("compose.yaml", "environment:\n", "environment:\n      DB_PASSWORD: hunter2\n"),),
        "DB_PASSWORD",
        "warning",
        "compose.yaml",
    ),
    Case(
        "secret-in-image",
        "in a task",
        (("task.json", '"environment": [', '"environment": [{"name": "API_TOKEN", "value": "x"}, '),),
        '"environment"',
        path="task.json",
    ),
    Case(
        "add-url",
        "https",
        docker("USER node\n", "ADD https://example.com/a.tgz /a\nUSER node\n"),
        "ADD https",
    ),
    Case("dockerignore-missing", "none", ((".dockerignore", "", ""),), "COPY . ."),
    Case(
        "dockerignore-modules",
        "not in it",
        ((".dockerignore", "node_modules\n", ""),),
        ".git",
        path=".dockerignore",
    ),
    Case(
        "dockerignore-modules",
        "put back",
        ((".dockerignore", ".git\n", ".git\n!node_modules/express\n"),),
        "node_modules",
        path=".dockerignore",
    ),
    Case(
        "dockerignore-git",
        "not in it",
        ((".dockerignore", ".git\n", ".github\n"),),
        "node_modules",
        path=".dockerignore",
    ),
    Case(
        "dockerignore-env",
        "not in it",
        ((".dockerignore", ".env*\n", "env\n"),),
        "node_modules",
        path=".dockerignore",
    ),
    Case("lock-missing", "none", (("package-lock.json", "", ""),), "{", path="package.json"),
    Case("lock-missing", "two", (("yarn.lock", "", "# v1\n"),), "{", path="package.json"),
    Case(
        "dev-package",
        "nodemon",
        (("package.json", '"express"', '"nodemon": "3", "express"'),),
        "nodemon",
        path="package.json",
    ),
    Case(
        "stop-timeout",
        "more than docker's",
        (("compose.yaml", "    stop_grace_period: 30s\n", ""),),
        "web:",
        path="compose.yaml",
    ),
    Case(
        "stop-timeout",
        "more than is given",
        (("compose.yaml", "30s", "20s"),),
        "stop_grace_period",
        path="compose.yaml",
    ),
    Case(
        "stop-timeout",
        "not told",
        (("compose.yaml", "PYINIT_STOP_TIMEOUT", "OTHER"),),
        "stop_grace_period",
        "warning",
        "compose.yaml",
    ),
    Case(
        "stop-timeout",
        "more than the task's",
        (("task.json", '"stopTimeout": 60', '"stopTimeout": 45'),),
        "stopTimeout",
        path="task.json",
    ),
    Case(
        "stop-timeout",
        "more than ECS's own",
        (("task.json", '"stopTimeout": 60,', ""),),
        "{",
        path="task.json",
    ),
    Case(
        "stop-timeout",
        "not told in a task",
        (("task.json", "PYINIT_STOP_TIMEOUT", "OTHER"),),
        "stopTimeout",
        "warning",
        "task.json",
    ),
    Case(
        "stop-timeout",
        "more than Fargate's",
        (
            ("task.json", '"stopTimeout": 60', '"stopTimeout": 300'),
            ("task.json", '"family"', '"requiresCompatibilities": ["FARGATE"], "family"'),
        ),
        "stopTimeout",
        path="task.json",
    ),
    Case("init-twice", "compose", service("    init: true\n"), "init: true", path="compose.yaml"),
    Case(
        "init-twice",
        "a task",
        container('"linuxParameters": {"initProcessEnabled": true}'),
        "initProcessEnabled",
        path="task.json",
    ),
    Case(
        "health-check",
        "none in a task",
        (("task.json", '"healthCheck": {"command": ["CMD", "pyinitctl", "health"]},', ""),),
        "{",
        path="task.json",
    ),
    Case(
        "health-check",
        "disabled",
        service("    healthcheck:\n      disable: true\n"),
        "healthcheck",
        path="compose.yaml",
    ),
    Case("depends-on", "nobody", service("    depends_on: [db]\n"), "depends_on", path="compose.yaml"),
    Case(
        "depends-on",
        "no container",
        container('"dependsOn": [{"containerName": "db", "condition": "START"}]'),
        "dependsOn",
        path="task.json",
    ),
    Case(
        "depends-on",
        "never healthy",
        (
            (
                "task.json",
                "\n  ]\n}\n",
                ',\n    {"name": "envoy", "image": "envoy:1.2.3", "user": "1"}\n  ]\n}\n',
            ),
            (
                "task.json",
                '"essential": true,',
                '"essential": true,\n"dependsOn": [{"containerName": "envoy", "condition": "HEALTHY"}],',
            ),
        ),
        "dependsOn",
        path="task.json",
    ),
    Case(
        "depends-on",
        "never healthy in compose",
        (*docker(_HEALTH, ""), *service(_WAITING)),
        "web:",
        path="compose.yaml",
    ),
    Case(
        "stop-timeout",
        "of a file laid over another",
        (("compose.prod.yaml", "", "services:\n  web:\n    stop_grace_period: 5s\n"),),
        "stop_grace_period",
        path="compose.prod.yaml",
    ),
    Case(
        "pyinit-options",
        "a variable that is nearly one",
        docker("USER node\n", "ENV PYINIT_STOP_TIMOUT=30\nUSER node\n"),
        "CMD",
        "warning",
    ),
    Case("sidecar-order", "none", sidecar('"essential": true'), '"name": "proxy"', path="task.json"),
    Case(
        "sidecar-order",
        "the wrong way",
        sidecar('"essential": true', '\n"dependsOn": [{"containerName": "proxy", "condition": "HEALTHY"}],'),
        "dependsOn",
        path="task.json",
    ),
    Case(
        "essential",
        "false",
        (("task.json", '"essential": true', '"essential": false'),),
        "essential",
        path="task.json",
    ),
    Case(
        "read-only", "compose", (("compose.yaml", "    read_only: true\n", ""),), "web:", path="compose.yaml"
    ),
    Case(
        "read-only",
        "a task",
        (("task.json", '"readonlyRootFilesystem": true', '"readonlyRootFilesystem": false'),),
        "readonly",
        path="task.json",
    ),
    Case("privileged", "compose", service("    privileged: true\n"), "privileged", path="compose.yaml"),
    Case("privileged", "a task", container('"privileged": true'), "privileged", path="task.json"),
    Case(
        "source-mount",
        "the directory",
        service("    volumes:\n      - data:/data\n      - .:/app\n"),
        "- .:/app",
        path="compose.yaml",
    ),
    Case(
        "restart-policy",
        "none",
        (("compose.yaml", "    restart: unless-stopped\n", ""),),
        "web:",
        path="compose.yaml",
    ),
    Case(
        "schema",
        "a slip",
        service("    stop_grace_periode: 30s\n"),
        "stop_grace_periode",
        path="compose.yaml",
    ),
    Case("schema", "a type", service("    init: perhaps\n"), "init", path="compose.yaml"),
    Case(
        "schema", "no duration", (("compose.yaml", "30s", "30 s"),), "stop_grace_period", path="compose.yaml"
    ),
    Case("schema", "a slip in a task", container('"entrypoint": ["pyinit"]'), "entrypoint", path="task.json"),
    Case(
        "schema",
        "a type in a task",
        (("task.json", '"stopTimeout": 60', '"stopTimeout": "soon"'),),
        "stopTimeout",
        path="task.json",
    ),
    Case("unreadable", "a Dockerfile", docker("USER node", "USERR node"), "USERR"),
    Case("unreadable", "no FROM", (("Dockerfile", "", "RUN true\n"),), "RUN"),
    Case(
        "unreadable",
        "compose",
        (("compose.yaml", "build: .", "build: ["),),
        "environment",
        path="compose.yaml",
    ),
    Case(
        "unreadable",
        "a task",
        (("task.json", '"family": "web",', '"family": "web"'),),
        "containerDefinitions",
        path="task.json",
    ),
    Case("unreadable", "package.json", (("package.json", "{", "{,"),), "{,", path="package.json"),
    Case(
        "unreadable",
        "a stage that is not there",
        (("compose.yaml", "build: .", "build: {context: ., target: prod}"),),
        "build:",
        path="compose.yaml",
    ),
    Case(
        "unknown-ignore",
        "a slip",
        docker("USER node", "# pyinit-check: ignore=user-rot\nUSER node"),
        "ignore=user-rot",
    ),
]

GOOD = [
    Case("depends-on", "healthy by its image", service(_WAITING)),
    Case(
        "depends-on",
        "it need not be there",
        service("    depends_on: {db: {condition: service_started, required: false}}\n"),
    ),
    Case(
        "depends-on",
        "an included one",
        (
            *service("    depends_on: [db]\n"),
            ("compose.yaml", "services:\n", "include: [db.yaml]\nservices:\n"),
        ),
    ),
    Case(
        "user-root",
        "compose ships another stage",
        (
            *docker(_CMD, f"{_CMD}\nFROM web AS tools\nUSER root\n"),
            *docker("FROM ${NODE}\n", "FROM ${NODE} AS web\n"),
            ("compose.yaml", "build: .", "build: {context: ., target: web}"),
        ),
    ),
    Case(
        "stop-timeout",
        "by a file of variables",
        (
            (
                "compose.yaml",
                '    environment:\n      PYINIT_STOP_TIMEOUT: "30"\n',
                "    env_file: web.env\n",
            ),
            ("web.env", "", "# of the image\nPYINIT_STOP_TIMEOUT=30\n"),
        ),
    ),
    Case(
        "pyinit-options",
        "an option of another mode",
        docker('"--listen"', '"--drain-delay", "5", "--listen"'),
    ),
    Case("start-npm", "in another stage", docker("AS audit\n", 'AS audit\nCMD ["npm", "start"]\n')),
    Case(
        "start-npm",
        "replaced by pyinit",
        (*docker('"--listen"', '"--exec-npm", "--listen"'), *docker(_CMD, 'CMD ["npm", "start"]')),
    ),
    Case("start-npm", "a program with npm in its name", docker(_CMD, 'CMD ["node", "npm.js"]')),
    Case(
        "start-shell",
        "that gives its place away",
        docker(_CMD, 'CMD ["sh", "-c", "node migrate.js && exec node dist/server.js"]'),
    ),
    Case("start-shell", "overridden later", docker(_CMD, f"CMD node x\n{_CMD}")),
    Case("start-dev", "an argument of the app's", docker(_CMD, 'CMD ["node", "dist/server.js", "--watch"]')),
    Case(
        "start-dev",
        "compose of a developer",
        (("compose.dev.yaml", "", "services:\n  web:\n    command: nodemon .\n"),),
    ),
    Case("start-manager", "an argument", docker(_CMD, 'CMD ["node", "pm2"]')),
    Case(
        "start-none",
        "inherited",
        (*docker(_CMD, f"{_CMD}\nFROM app\n"), *docker("FROM ${NODE}\n", "FROM ${NODE} AS app\n")),
    ),
    Case(
        "start-none",
        "said by both deployments",
        (*docker(_CMD, ""), *service('    command: ["node", "x"]\n'), *container('"command": ["node", "x"]')),
    ),
    Case(
        "script-exec",
        "exec at its end",
        (
            *docker(_ENTRYPOINT, 'COPY start.sh /\nENTRYPOINT ["/start.sh"]\n'),
            (
                "start.sh",
                "",
                '#!/bin/sh\nset -e\nif [ -n "$X" ]; then node migrate.js; fi\nexec pyinit --listen 8080 -- "$@"\n',
            ),
        ),
    ),
    Case("script-exec", "one that is not here", docker(_ENTRYPOINT, 'ENTRYPOINT ["/start.sh"]\n')),
    Case("script-exec", "node's own", docker(_ENTRYPOINT, 'ENTRYPOINT ["docker-entrypoint.sh"]\n')),
    Case(
        "init-missing",
        "tini",
        docker(_ENTRYPOINT, 'ENTRYPOINT ["/usr/bin/tini", "-v", "-p", "SIGTERM", "--"]\n'),
    ),
    Case("init-missing", "s6", docker(_ENTRYPOINT, 'ENTRYPOINT ["/init"]\n')),
    Case(
        "init-missing",
        "both deployments have one",
        (
            *docker(_ENTRYPOINT, ""),
            *service("    init: true\n"),
            *container('"linuxParameters": {"initProcessEnabled": true}'),
        ),
    ),
    Case(
        "sigterm-unhandled",
        "a handler",
        (
            *docker(_ENTRYPOINT, 'ENTRYPOINT ["tini", "--"]\n'),
            ("src/server.ts", "", "process.once(\n  'SIGTERM', stop);\n"),
        ),
    ),
    Case(
        "sigterm-unhandled",
        "a list of signals",
        (
            *docker(_ENTRYPOINT, 'ENTRYPOINT ["tini", "--"]\n'),
            ("src/server.ts", "", 'for (const s of ["SIGINT", "SIGTERM"]) process.on(s, stop);\n'),
        ),
    ),
    Case(
        "sigterm-unhandled",
        "a library for it",
        (
            *docker(_ENTRYPOINT, 'ENTRYPOINT ["tini", "--"]\n'),
            ("package.json", '"express"', '"http-terminator": "3", "express"'),
        ),
    ),
    Case(
        "sigterm-unhandled",
        "no source to see",
        (*docker(_ENTRYPOINT, 'ENTRYPOINT ["tini", "--"]\n'), ("src/server.ts", "", "")),
    ),
    Case("pyinit-options", "the platform's port", docker('"8080"', '"env:PORT"')),
    Case("user-root", "a number", docker("USER node", "USER 1000:1000")),
    Case(
        "user-root",
        "of the stage below",
        (
            *docker("FROM ${NODE}\n", "FROM ${NODE} AS base\nUSER node\nFROM base\n"),
            *docker("USER node\nEXPOSE", "EXPOSE"),
        ),
    ),
    Case(
        "user-root",
        "nonroot by its tag",
        (*docker("USER node\n", ""), *docker(_BASE, "gcr.io/distroless/nodejs22-debian12:nonroot")),
    ),
    Case(
        "user-root",
        "by both deployments",
        (*docker("USER node\n", ""), *service("    user: node\n"), *container('"user": "1000"')),
    ),
    Case(
        "healthcheck-missing",
        "of the stage below",
        (
            *docker("FROM ${NODE}\n", f"FROM ${{NODE}} AS base\n{_HEALTH}FROM base\n"),
            *docker(_HEALTH + "ENTRYPOINT", "ENTRYPOINT"),
        ),
    ),
    Case(
        "healthcheck-missing",
        "by both deployments",
        (*docker(_HEALTH, ""), *service("    healthcheck:\n      test: [CMD, pyinitctl, health]\n")),
    ),
    Case(
        "healthcheck-tool",
        "installed",
        (
            *docker(_HEALTH, "HEALTHCHECK CMD curl -f localhost\n"),
            *docker(
                "USER node\n",
                "RUN apt-get update && apt-get install -y --no-install-recommends curl\nUSER node\n",
            ),
        ),
    ),
    Case(
        "healthcheck-tool",
        "in the full image",
        (*docker(_HEALTH, "HEALTHCHECK CMD curl -f x\n"), *docker("-bookworm-slim", "-bookworm")),
    ),
    Case(
        "healthcheck-tool",
        "busybox has wget",
        (*docker(_HEALTH, "HEALTHCHECK CMD wget -q x\n"), *docker("bookworm-slim", "alpine3.21")),
    ),
    Case(
        "healthcheck-tool",
        "a shell in an image of one's own",
        (*docker(_HEALTH, "HEALTHCHECK CMD curl x\n"), *docker(_BASE, "corp/node:22@sha256:00")),
    ),
    Case("stop-signal", "SIGTERM", docker(_CMD, f"STOPSIGNAL SIGTERM\n{_CMD}")),
    Case("stop-signal", "SIGINT by number", docker(_CMD, f"STOPSIGNAL 2\n{_CMD}")),
    Case(
        "stop-signal",
        "one that pyinit is told of",
        (
            *docker(_CMD, f"STOPSIGNAL SIGQUIT\n{_CMD}"),
            *docker('"--listen"', '"--stop-signals", "SIGQUIT", "--listen"'),
        ),
    ),
    Case(
        "stop-signal",
        "one that the app handles",
        (
            *docker(_CMD, f"STOPSIGNAL SIGUSR2\n{_CMD}"),
            *docker(_ENTRYPOINT, 'ENTRYPOINT ["tini", "--"]\n'),
            ("src/server.ts", "", "process.on('SIGUSR2', stop); process.on('SIGTERM', stop);\n"),
        ),
    ),
    Case("expose-listen", "by a variable", docker("EXPOSE 8080", "ENV P=8080\nEXPOSE $P/tcp")),
    Case(
        "expose-listen",
        "no proxy",
        (*docker("EXPOSE 8080", "EXPOSE 3000"), *docker('"--listen", "8080", ', "")),
    ),
    Case("base-unpinned", "a major", docker(_BASE, "node:22")),
    Case(
        "base-unpinned",
        "scratch",
        docker("AS audit\n", "AS audit\nCOPY --from=alpine /x /x\nFROM scratch AS none\n"),
    ),
    Case("base-unpinned", "an argument without a default", docker(f"ARG NODE={_BASE}", "ARG NODE")),
    Case(
        "base-unpinned",
        "a stage that is not shipped",
        docker("FROM build AS audit", "FROM node:latest AS lint\nFROM build AS audit"),
    ),
    Case("base-digest", "another stage", docker("AS audit\n", "AS audit\nFROM build AS again\n")),
    Case("single-stage", "a stage by its number", docker("--from=build", "--from=0")),
    Case("npm-install", "a tool for all", docker("RUN npm ci", "RUN npm install -g corepack@0.31 && npm ci")),
    Case("npm-install", "yarn with its lock", docker("RUN npm ci\n", "RUN yarn install --immutable\n")),
    Case("npm-install", "pnpm in CI", docker("RUN npm ci\n", "RUN CI=true pnpm install\n")),
    Case(
        "npm-install",
        "a word in a text",
        docker("RUN npm ci\n", 'RUN npm ci && echo "npm install is for others"\n'),
    ),
    Case(
        "dev-dependencies",
        "NODE_ENV",
        (
            *docker(" && npm prune --omit=dev", ""),
            *docker("RUN npm ci\n", "ENV NODE_ENV=production\nRUN npm ci\n"),
        ),
    ),
    Case(
        "dev-dependencies",
        "omitted in two words",
        (*docker(" && npm prune --omit=dev", ""), *docker("RUN npm ci\n", "RUN npm ci --omit dev\n")),
    ),
    Case(
        "dev-dependencies",
        "removed",
        (
            *docker(_MODULES, "COPY --from=build /app/x ./\n"),
            *docker(" && npm prune --omit=dev", " && rm -rf node_modules"),
        ),
    ),
    Case(
        "dev-dependencies",
        "another directory is copied",
        (*docker(" && npm prune --omit=dev", ""), *docker(_MODULES, "RUN npm ci --omit=dev\n")),
    ),
    Case(
        "dev-dependencies",
        "a package without any",
        (
            *docker(" && npm prune --omit=dev", ""),
            ("package.json", "devDependencies", "optionalDependencies"),
        ),
    ),
    Case(
        "node-env",
        "set on the way",
        (
            *docker("ENV NODE_ENV=production\n", ""),
            *docker(_CMD, 'CMD ["env", "NODE_ENV=production", "node", "x.js"]'),
        ),
    ),
    Case(
        "node-env",
        "by both deployments",
        (
            *docker("ENV NODE_ENV=production\n", ""),
            ("compose.yaml", "environment:\n", "environment:\n      NODE_ENV: production\n"),
            (
                "task.json",
                '"environment": [',
                '"environment": [{"name": "NODE_ENV", "value": "production"}, ',
            ),
        ),
    ),
    Case(
        "audit-missing", "a scanner", docker("npm audit --omit=dev --audit-level=high", "npx --yes audit-ci")
    ),
    Case("audit-missing", "yarn's", docker("npm audit --omit=dev", "yarn npm audit")),
    Case(
        "secret-in-image",
        "a file's name",
        docker(
            "USER node\n",
            "ENV DB_PASSWORD_FILE=/run/secrets/db TOKEN_TTL=60 NEXT_PUBLIC_API_KEY=x\nUSER node\n",
        ),
    ),
    Case(
        "secret-in-image",
        "empty, or a switch",
        docker("USER node\n", 'ENV API_KEY="" USE_TOKEN=true\nUSER node\n'),
    ),
    Case("secret-in-image", "an example", docker("USER node\n", "COPY .env.example ./\nUSER node\n")),
    Case(
        "secret-in-image",
        "npm's token by a variable",
        (
            *docker("USER node\n", "COPY .npmrc ./\nUSER node\n"),
            (".npmrc", "", "//r.example/:_authToken=${NPM_TOKEN}\n"),
        ),
    ),
    Case(
        "secret-in-image",
        "a mount",
        docker("RUN npm ci\n", "RUN --mount=type=secret,id=npmrc,target=/root/.npmrc npm ci\n"),
    ),
    Case(
        "secret-in-image",
        "from who starts compose",
        (("compose.yaml", "environment:\n", "environment:\n      DB_PASSWORD: ${DB_PASSWORD}\n"),),
    ),
    Case(
        "add-url",
        "with its sum",
        docker("USER node\n", "ADD --checksum=sha256:00 https://example.com/a.tgz /a\nUSER node\n"),
    ),
    Case("add-url", "a file", docker("USER node\n", "ADD a.tgz /a\nUSER node\n")),
    Case(
        "dockerignore-missing",
        "nothing is copied whole",
        (("Dockerfile", "COPY . .", "COPY src ./src"), (".dockerignore", "", "")),
    ),
    Case(
        "dockerignore-missing",
        "one for this Dockerfile",
        ((".dockerignore", "", ""), ("Dockerfile.dockerignore", "", "*\n!src\n")),
    ),
    Case("dockerignore-modules", "everywhere", ((".dockerignore", "node_modules", "**/node_modules/"),)),
    Case("dockerignore-modules", "everything but", ((".dockerignore", "", "*\n!src\n!package*.json\n"),)),
    Case("dockerignore-git", "in front", ((".dockerignore", ".git\n", "/.git\n"),)),
    Case("dockerignore-env", "by a pattern", ((".dockerignore", ".env*", "**/.env"),)),
    Case("lock-missing", "a workspace", (("packages/a/package.json", "", '{"dependencies": {"x": "1"}}'),)),
    Case("lock-missing", "nothing to lock", (("package.json", "", "{}\n"), ("package-lock.json", "", ""))),
    Case(
        "dev-package", "where it belongs", (("package.json", '"typescript"', '"nodemon": "3", "typescript"'),)
    ),
    Case("stop-timeout", "by a default of compose", (("compose.yaml", '"30"', '"${STOP:-30}"'),)),
    Case(
        "stop-timeout",
        "less on purpose",
        (("compose.yaml", '"30"', '"25"'), ("task.json", '"value": "60"', '"value": "55"')),
    ),
    Case("stop-timeout", "minutes", (("compose.yaml", "30s", "1m30s"),)),
    Case(
        "stop-timeout",
        "no pyinit",
        (*docker(_ENTRYPOINT, 'ENTRYPOINT ["tini", "--"]\n'), ("compose.yaml", "30s", "5s")),
    ),
    Case("init-twice", "init: false", service("    init: false\n")),
    Case("health-check", "the image's in compose", ()),
    Case(
        "health-check",
        "the sidecar's, which is as ready as the app",
        (
            *sidecar('"dependsOn": [{"containerName": "web", "condition": "START"}]'),
            ("task.json", '"healthCheck": {"command": ["CMD", "pyinitctl", "health"]},\n', "\n"),
        ),
    ),
    Case("init-missing", "a job", service('    entrypoint: ["node", "-e", "migrate()"]\n')),
    Case("base-unpinned", "who starts compose says it", service("  job:\n    image: ${IMAGE:-job}\n")),
    Case(
        "depends-on",
        "a service of the base file",
        (
            ("compose.yaml", "services:\n", "services:\n  db:\n    image: postgres:17.2\n"),
            ("compose.prod.yaml", "", "services:\n  web:\n    depends_on: [db]\n"),
        ),
    ),
    Case(
        "depends-on",
        "a container with a check",
        sidecar('"dependsOn": [{"containerName": "web", "condition": "HEALTHY"}]'),
    ),
    Case(
        "sidecar-order",
        "it depends on the app",
        sidecar('"dependsOn": [{"containerName": "web", "condition": "START"}]'),
    ),
    Case("essential", "not said", (("task.json", '"essential": true,', ""),)),
    Case("read-only", "of a database", service("  db:\n    image: postgres:17.2\n")),
    Case("privileged", "false", service("    privileged: false\n")),
    Case("source-mount", "data", service("    volumes:\n      - ./data:/data\n")),
    Case(
        "source-mount",
        "of a developer",
        (("compose.override.yaml", "", "services:\n  web:\n    build: .\n    volumes: [.:/app]\n"),),
    ),
    Case(
        "restart-policy",
        "swarm's",
        (("compose.yaml", "restart: unless-stopped", "deploy: {restart_policy: {condition: any}}"),),
    ),
    Case("schema", "a key of tomorrow, and one's own", service("    wholly_new_key: 1\n    x-team: a\n")),
    Case("schema", "a variable", service("    init: ${INIT:-false}\n")),
    Case("unreadable", "odd but good", docker("USER node", "# a comment\nuser \\\n  # within\n  node")),
    Case(
        "unknown-ignore",
        "one that exists",
        docker("USER node", "# pyinit-check: ignore=user-root\nUSER root"),
    ),
]


def changed(case: Case) -> Files:
    """The clean project with a case's edits; a file that becomes empty is none."""
    files = {path: textwrap.dedent(text).lstrip("\n") for path, text in CLEAN.items()}
    for path, old, new in case.edits:
        if old:
            assert old in files[path], f"{case.name}: {path} has no {old!r}"
            files[path] = files[path].replace(old, new)
        elif new:
            files[path] = new
        else:
            files.pop(path, None)
    return {path: text for path, text in files.items() if text}


def test_nothing_is_found_in_the_clean_project(tmp_path: Path) -> None:
    report = checked(tmp_path, CLEAN)
    assert seen(report) == []
    assert report.paths == [".dockerignore", "Dockerfile", "compose.yaml", "package.json", "task.json"]


@pytest.mark.parametrize("case", BAD, ids=lambda case: f"{case.rule}: {case.name}")
def test_a_breach_is_found_where_it_is(tmp_path: Path, case: Case) -> None:
    files = changed(case)
    findings = [one for one in checked(tmp_path, files).findings if one.rule.id == case.rule]
    places = [(one.path, files[one.path].splitlines()[one.line - 1].strip()) for one in findings]
    found = [
        one
        for one, (path, text) in zip(findings, places, strict=True)
        if path == case.path and case.line in text
    ]
    assert found, places
    assert str(found[0].level) == (case.level or str(RULES[case.rule].level))


@pytest.mark.parametrize("case", GOOD, ids=lambda case: f"{case.rule}: {case.name}")
def test_what_only_looks_like_one_is_not(tmp_path: Path, case: Case) -> None:
    report = checked(tmp_path, changed(case))
    assert case.rule not in ids(report), report.findings
    assert case.rule == "unreadable" or "unreadable" not in ids(report)


@pytest.mark.parametrize("cases", [BAD, GOOD], ids=["bad", "good"])
def test_every_rule_has_examples(cases: list[Case]) -> None:
    assert {case.rule for case in cases} == RULES.keys()
