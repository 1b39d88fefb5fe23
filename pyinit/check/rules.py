"""The checklist itself, as data: every rule with its level, why it is one, and the mend."""

from __future__ import annotations

from pyinit.check.finding import Level, Rule

_E, _W, _I = Level.ERROR, Level.WARNING, Level.INFO

UNREADABLE = Rule(
    "unreadable", _E, "files can be read",
    "What cannot be read cannot be built either, and nothing else of it was checked.",
    "Mend the syntax.",
)  # fmt: skip
UNKNOWN_IGNORE = Rule(
    "unknown-ignore", _W, "ignore comments name rules that exist",
    "A comment with a slip in it ignores nothing, and reads as if it did.",
    "Write the rule's id as the finding shows it, or remove the comment.",
)  # fmt: skip

START_NPM = Rule(
    "start-npm", _E, "node is started directly, not by npm, yarn, pnpm, npx or node --run",
    "They stand between PID 1 and the app, pass SIGTERM on through a shell that may not, and answer with an exit code"
    " of their own.",
    'Start the app itself, in exec form: CMD ["node", "server.js"].',
)  # fmt: skip
START_SHELL = Rule(
    "start-shell", _E, "CMD and ENTRYPOINT are in exec form",
    "The shell is the process that gets SIGTERM, and it does not pass it on: the app is killed at the end of the grace,"
    " with every request in flight. Some shells give their place to a lone command, others do not.",
    'Use exec form: CMD ["node", "server.js"]. Where a shell is needed, end its line with exec.',
)  # fmt: skip
START_DEV = Rule(
    "start-dev", _E, "no development runner in production (nodemon, ts-node, tsx, node --watch, next dev)",
    "It compiles or watches at run time, is a parent that handles signals its own way, and needs dev dependencies.",
    'Build in a stage of its own and start the result: CMD ["node", "dist/server.js"].',
)  # fmt: skip
START_MANAGER = Rule(
    "start-manager", _W, "no process manager in the container (pm2, forever)",
    "It restarts and signals the app by rules of its own, hides its exit code, and the orchestrator restarts"
    " containers already.",
    "Start node itself; for several processes take more containers, or node:cluster.",
)  # fmt: skip
START_NONE = Rule(
    "start-none", _W, "the image says what it starts",
    "Without CMD and ENTRYPOINT the base image's own is started: node's is an interactive prompt.",
    'Add CMD ["node", "server.js"].',
)  # fmt: skip
SCRIPT_EXEC = Rule(
    "script-exec", _E, "an entrypoint script ends in exec",
    "The shell that runs the script stays PID 1 or its child, gets SIGTERM and does not pass it on.",
    'Let the script\'s last line begin with exec (exec "$@").',
)  # fmt: skip
INIT_MISSING = Rule(
    "init-missing", _W, "an init is PID 1",
    "PID 1 gets no default signal actions and inherits every orphan: zombies of what the app started are never reaped.",
    'ENTRYPOINT ["pyinit", "--listen", "8080", "--"] (or tini, dumb-init; init: true in compose,'
    " initProcessEnabled on ECS).",
)  # fmt: skip
SIGTERM = Rule(
    "sigterm-unhandled", _W, "SIGTERM is handled",
    "A stop cuts every request in flight: Node ends at once where an init passes SIGTERM on, and as PID 1 without a"
    " handler it ignores it and is killed at the end of the grace.",
    "Put pyinit in front (--listen), which drains first; or close the server in process.on('SIGTERM', ...).",
)  # fmt: skip
OPTIONS = Rule(
    "pyinit-options", _E, "pyinit's own options are accepted",
    "pyinit refuses them at start, with exit code 2.",
    "pyinit -h lists the options.",
)  # fmt: skip

USER_ROOT = Rule(
    "user-root", _E, "the app does not run as root",
    "Whoever takes over the app is root in the container, one kernel fault away from the machine.",
    "Add USER node (uid 1000 in the official images) before CMD.",
)  # fmt: skip
HEALTHCHECK = Rule(
    "healthcheck-missing", _W, "there is a HEALTHCHECK",
    "An app that hangs stays in service, and nothing can wait for the container to be healthy.",
    'HEALTHCHECK CMD ["pyinitctl", "health"]; without pyinit a request by node itself.',
)  # fmt: skip
HEALTHCHECK_TOOL = Rule(
    "healthcheck-tool", _E, "the HEALTHCHECK's program is in the image",
    "It is never healthy: slim images have neither curl nor wget, Alpine has no curl.",
    'CMD ["pyinitctl", "health"], or install the program in this image.',
)  # fmt: skip
STOP_SIGNAL = Rule(
    "stop-signal", _W, "STOPSIGNAL is one that stops the app gracefully",
    "SIGKILL and SIGSTOP cannot be handled at all; others end Node at once unless the app handles just that one.",
    "Remove it (SIGTERM is the default), or give pyinit --stop-signals.",
)  # fmt: skip
EXPOSE = Rule(
    "expose-listen", _W, "EXPOSE and published ports are those that pyinit listens on",
    "Traffic that follows them passes pyinit by, or finds nobody.",
    "Name the port of --listen.",
)  # fmt: skip
BASE_UNPINNED = Rule(
    "base-unpinned", _W, "images are pinned to a version",
    "The same build is another Node tomorrow: latest, lts and current move from one major to the next.",
    "Name a version: node:22.14.0-bookworm-slim.",
)  # fmt: skip
BASE_DIGEST = Rule(
    "base-digest", _I, "base images are pinned to a digest",
    "A tag can be pushed again; a digest is the same bytes for ever. A bot can keep it current.",
    "Append @sha256:... to the tag.",
)  # fmt: skip
SINGLE_STAGE = Rule(
    "single-stage", _I, "the build has stages",
    "Compilers, caches and sources of the build are shipped, and are there for whoever gets in.",
    "Build in one stage, and COPY --from=build what runs into another.",
)  # fmt: skip
NPM_INSTALL = Rule(
    "npm-install", _W, "dependencies are installed from the lock file",
    "Versions are resolved anew in each build: what runs is not what was tested.",
    "npm ci --omit=dev (yarn install --immutable, pnpm install --frozen-lockfile --prod).",
)  # fmt: skip
DEV_DEPENDENCIES = Rule(
    "dev-dependencies", _E, "no dev dependencies in the image",
    "Test tools and compilers are shipped: hundreds of packages that nobody needs there, each with its faults.",
    "npm ci --omit=dev in the stage whose node_modules are shipped, or npm prune --omit=dev after the build.",
)  # fmt: skip
NODE_ENV = Rule(
    "node-env", _W, "NODE_ENV=production is set at run time",
    "Express does not cache views and shows stack traces, React and others run their slow checking builds.",
    "ENV NODE_ENV=production in the final stage.",
)  # fmt: skip
AUDIT = Rule(
    "audit-missing", _I, "the build audits the dependencies",
    "A known hole in a dependency is found by others first.",
    "RUN npm audit --omit=dev --audit-level=high in a stage that CI builds.",
)  # fmt: skip
SECRET = Rule(
    "secret-in-image", _E, "no secret in ENV, ARG or a file that is copied",
    "Whoever can pull the image reads it: ENV and ARG are in its history, and files in its layers, even when a later"
    " layer removes them.",
    "RUN --mount=type=secret for the build; at run time from the orchestrator's secrets.",
)  # fmt: skip
ADD_URL = Rule(
    "add-url", _W, "ADD fetches nothing unchecked",
    "What the URL serves at build time is in the image, whoever serves it.",
    "ADD --checksum=sha256:..., or curl with a checksum in RUN.",
)  # fmt: skip

IGNORE_MISSING = Rule(
    "dockerignore-missing", _E, ".dockerignore exists where the whole context is copied",
    "COPY . takes everything along: the machine's node_modules, the history in .git, the secrets in .env.",
    "Write one with node_modules, .git and .env* in it.",
)  # fmt: skip
IGNORE_MODULES = Rule(
    "dockerignore-modules", _W, ".dockerignore has node_modules",
    "The developer's modules, built for another machine and with dev dependencies, replace those of npm ci.",
    "Add a line: node_modules (**/node_modules for workspaces).",
)  # fmt: skip
IGNORE_GIT = Rule(
    "dockerignore-git", _W, ".dockerignore has .git",
    "The whole history is shipped, with all that was ever removed from it, and every commit spoils the cache.",
    "Add a line: .git",
)  # fmt: skip
IGNORE_ENV = Rule(
    "dockerignore-env", _E, ".dockerignore has .env",
    "The developer's secrets are in a layer of the image, for all who can pull it.",
    "Add a line: .env* (and !.env.example where that is wanted).",
)  # fmt: skip

LOCK_MISSING = Rule(
    "lock-missing", _W, "there is one lock file",
    "npm ci needs it, and without one every build resolves versions anew; with several nobody knows which counts.",
    "Commit package-lock.json (yarn.lock, pnpm-lock.yaml), and one of them only.",
)  # fmt: skip
DEV_PACKAGE = Rule(
    "dev-package", _I, "development tools are devDependencies",
    "--omit=dev installs what stands under dependencies.",
    "npm install --save-dev NAME moves it.",
)  # fmt: skip

SCHEMA = Rule(
    "schema", _E, "compose files and task definitions have their form",
    "The engine refuses the file, or ignores what it does not know.",
    "Mend the value as the text says.",
)  # fmt: skip
STOP_TIMEOUT = Rule(
    "stop-timeout", _E, "pyinit's stop timeout is the platform's own",
    "pyinit cannot see the grace. With more than it has, SIGKILL comes in the middle of the drain; with less, requests"
    " are cut although there was time.",
    "Set PYINIT_STOP_TIMEOUT to the seconds of stop_grace_period or stopTimeout.",
)  # fmt: skip
INIT_TWICE = Rule(
    "init-twice", _W, "one init, not two",
    "init: true and initProcessEnabled put another init in front of the image's own: one process more that signals"
    " pass through, and pyinit is not PID 1.",
    "Leave it out where the image has an init.",
)  # fmt: skip
HEALTH_OFF = Rule(
    "health-check", _W, "the orchestrator has a health check of the app",
    "ECS does not read the image's HEALTHCHECK; compose does, unless it is disabled.",
    'ECS: "healthCheck": {"command": ["CMD", "pyinitctl", "health"]}.',
)  # fmt: skip
DEPENDS = Rule(
    "depends-on", _E, "what is waited for exists and can become healthy",
    "The deployment is refused, or waits for ever.",
    "Name an existing one, and give it a health check where HEALTHY is awaited.",
)  # fmt: skip
SIDECAR_ORDER = Rule(
    "sidecar-order", _E, "a pyinit sidecar depends on the app",
    "Containers stop in the reverse order: an app that does not stop after the proxy is gone while requests drain.",
    "dependsOn in the sidecar, with the app's containerName; none on the sidecar in the app.",
)  # fmt: skip
ESSENTIAL = Rule(
    "essential", _W, "the app and its proxy are essential",
    "The task lives on without it, and nobody replaces it.",
    'Remove "essential": false.',
)  # fmt: skip
READ_ONLY = Rule(
    "read-only", _I, "the root file system is read-only",
    "Whoever gets in can change the app that runs. pyinit needs no writable path.",
    "read_only: true in compose, readonlyRootFilesystem on ECS, with a tmpfs where the app writes.",
)  # fmt: skip
PRIVILEGED = Rule(
    "privileged", _E, "no privileged container",
    "It is root on the machine.",
    "Remove it, and name the capabilities that are needed.",
)  # fmt: skip
SOURCE_MOUNT = Rule(
    "source-mount", _W, "the source is not mounted over the image in production",
    "What runs is the machine's directory and not the image that was built and tested.",
    "Keep the mount in a file for development: compose.override.yaml, compose.dev.yaml.",
)  # fmt: skip
RESTART = Rule(
    "restart-policy", _I, "compose restarts the app",
    "pyinit ends with the app's exit code; to start it again is the orchestrator's work.",
    "restart: unless-stopped",
)  # fmt: skip

RULES: dict[str, Rule] = {
    rule.id: rule
    for rule in (
        *(START_NPM, START_SHELL, START_DEV, START_MANAGER, START_NONE, SCRIPT_EXEC, INIT_MISSING, SIGTERM, OPTIONS),
        *(USER_ROOT, HEALTHCHECK, HEALTHCHECK_TOOL, STOP_SIGNAL, EXPOSE, BASE_UNPINNED, BASE_DIGEST, SINGLE_STAGE),
        *(NPM_INSTALL, DEV_DEPENDENCIES, NODE_ENV, AUDIT, SECRET, ADD_URL),
        *(IGNORE_MISSING, IGNORE_MODULES, IGNORE_GIT, IGNORE_ENV, LOCK_MISSING, DEV_PACKAGE),
        *(STOP_TIMEOUT, INIT_TWICE, HEALTH_OFF, DEPENDS, SIDECAR_ORDER, ESSENTIAL, READ_ONLY, PRIVILEGED),
        *(SOURCE_MOUNT, RESTART, SCHEMA, UNREADABLE, UNKNOWN_IGNORE),
    )
}  # fmt: skip
