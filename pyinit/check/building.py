"""Rules about how a Dockerfile builds: base images, installs, stages, the audit, secrets, what is fetched."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

from pyinit.check import images, install, rules, shell
from pyinit.check.dockerfile import is_known
from pyinit.check.files import joined
from pyinit.check.finding import Finding, Level, found

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyinit.check.context import Build
    from pyinit.check.dockerfile import Copy, Variable

_SECRET = re.compile(
    r"(^|_)(PASS|PASSWORD|PASSWD|PASSPHRASE|SECRETS?|TOKEN|API_?KEY|PRIVATE_?KEY|ACCESS_?KEY|SECRET_?KEY|CREDENTIALS?)"
    r"(_BASE|_ID)?$",
    re.IGNORECASE,
)
# Frameworks put these into what they send to browsers.
_PUBLIC = re.compile(r"(NEXT_PUBLIC|VITE|REACT_APP|NUXT_PUBLIC|GATSBY|PUBLIC|EXPO_PUBLIC)_", re.IGNORECASE)
_HARMLESS = re.compile(r"(true|false|on|off|yes|no|[0-9]+|null|none)?", re.IGNORECASE)
_URL_SECRET = re.compile(r"://[^:/@\s]+:[^@/\s]+@")
_ENV_FILE = re.compile(r"\.env(\..+)?")
_EXAMPLE = re.compile(r"(example|sample|template|dist|defaults?|schema|vault)$", re.IGNORECASE)
_KEY_FILES = frozenset(("id_rsa", "id_ed25519", "id_ecdsa", ".netrc", ".pgpass", "credentials.json"))
_NPMRC_SECRET = re.compile(r"(_authToken|_auth|_password)\s*=\s*(?!\s*\$\{)\S")
_BUILD_TOOLS = frozenset(("g++", "gcc", "make", "build-base", "build-essential", "python3-dev"))
_SCANNERS = frozenset(("trivy", "grype", "snyk", "osv-scanner", "audit-ci", "better-npm-audit"))


def check(build: Build) -> Iterator[Finding]:
    """All of them; of stages that the shipped one needs, but for the audit."""
    yield from _bases(build)
    yield from _secrets(build)
    yield from _added(build)
    if not build.is_node:
        return
    yield from _installs(build)
    yield from _dev_dependencies(build)
    yield from _stages(build)
    is_installing = any(install.calls(run) for stage in build.reachable for run in stage.runs)
    run_anywhere = (
        it for stage in build.file.stages for run in stage.runs for it in shell.commands(run.script)
    )
    if is_installing and not any(_is_audit(it) for it in run_anywhere):
        yield found(rules.AUDIT, build.file.path, build.stage.line, "No stage runs an audit.")


def _is_audit(it: shell.Simple) -> bool:
    if it.program in ("npm", "pnpm", "yarn"):
        return "audit" in it.words[1:]
    # npx audit-ci, as well as the program itself.
    return bool(_SCANNERS & {it.program, *(it.words[1:] if it.program in ("npx", "pnpx") else ())})


def _bases(build: Build) -> Iterator[Finding]:
    told: set[str] = set()
    for stage in build.reachable:
        if stage.parent is not None or stage.image in told or not is_known(stage.image):
            continue
        told.add(stage.image)
        image = images.parse(stage.image)
        if image.moves:
            what = f"{stage.image} moves with every release."
            mend = "Append @sha256:... to it: its tags are all pushed again." if image.is_distroless else None
            yield found(rules.BASE_UNPINNED, build.file.path, stage.line, what, mend=mend)
        elif not image.digest and stage.image != "scratch":
            what = f"{stage.image} is a tag without a digest."
            yield found(rules.BASE_DIGEST, build.file.path, stage.line, what)


def _installs(build: Build) -> Iterator[Finding]:
    for stage in build.reachable:
        for run in stage.runs:
            if run.line < stage.line:
                continue  # inherited, and told of where it stands
            for call in install.calls(run):
                if call.verb == "install":
                    what = f"{call.text!r} does not keep to the lock file."
                elif call.verb == "add":
                    what = f"{call.text!r} adds packages that package.json and its lock file do not have."
                else:
                    continue
                yield found(rules.NPM_INSTALL, build.file.path, run.line, what, end_line=run.end_line)


def _dev_dependencies(build: Build) -> Iterator[Finding]:
    if build.package is not None and not build.package.dev_dependencies and not build.package.workspaces:
        return  # there are none
    for path, one in sorted(install.modules(build.file, build.stage).items()):
        if one.has_dev:
            what = f"{path} is shipped with dev dependencies: it comes of {one.text!r}."
            yield found(rules.DEV_DEPENDENCIES, build.file.path, one.line, what, end_line=one.end_line)
            return


def _stages(build: Build) -> Iterator[Finding]:
    if build.has_stages:
        return
    builds = any(_is_building(it) for run in build.stage.runs for it in shell.commands(run.script))
    level = Level.WARNING if builds else Level.INFO
    then = ", and what built the app is shipped with it" if builds else ""
    what = f"Nothing is copied out of another stage{then}."
    yield found(rules.SINGLE_STAGE, build.file.path, build.stage.line, what, level=level)


def _is_building(it: shell.Simple) -> bool:
    if it.program == "tsc":
        return True
    if it.program in ("npm", "yarn", "pnpm"):
        return any(word == "build" or word.startswith("build:") for word in it.words[1:])
    return it.program in ("apk", "apt-get", "apt") and bool(_BUILD_TOOLS & set(it.words))


# -- secrets ---------------------------------------------------------------------------------------------------------


def is_secret_name(name: str) -> bool:
    """Whether a variable of that name holds a secret."""
    return _SECRET.search(name) is not None and not _PUBLIC.match(name)


def is_secret_value(name: str, value: str) -> bool:
    """Whether a value that stands in a file is a secret by its variable's name, or a URL with a password."""
    if _URL_SECRET.search(value):
        return True
    return is_secret_name(name) and _HARMLESS.fullmatch(value.strip("\"'")) is None


def _secrets(build: Build) -> Iterator[Finding]:
    for stage in build.reachable:
        is_shipped = stage in build.chain
        for one in stage.variables:
            if one.line > stage.line and (what := _secret_variable(one)) is not None:
                level = None if is_shipped and (one.raw or not one.is_arg) else Level.WARNING
                yield found(rules.SECRET, build.file.path, one.line, what, level=level, end_line=one.end_line)
        for copy in stage.copies:
            if copy.line <= stage.line:
                continue
            for source in copy.sources:
                named = _secret_file(build, copy, source)
                if named is not None:
                    level = None if is_shipped and named[1] else Level.WARNING
                    yield found(
                        rules.SECRET,
                        build.file.path,
                        copy.line,
                        named[0],
                        level=level,
                        end_line=copy.end_line,
                    )


def _secret_variable(one: Variable) -> str | None:
    kind = "ARG" if one.is_arg else "ENV"
    if one.raw is None:
        return (
            f"{kind} {one.name} leaves what is given in the build's history."
            if is_secret_name(one.name)
            else None
        )
    if "$" in one.raw:
        is_secret = is_secret_name(one.name)
        return f"{kind} {one.name} takes a secret from the build into the image." if is_secret else None
    return f"{kind} {one.name} has its value in the file." if is_secret_value(one.name, one.raw) else None


def _secret_file(build: Build, copy: Copy, source: str) -> tuple[str, bool] | None:
    """What is wrong with copying a file, and whether that is certain; None for nothing."""
    name = posixpath.basename(source)
    verb = "ADD" if copy.is_add else "COPY"
    if _ENV_FILE.fullmatch(name) and not _EXAMPLE.search(name):
        return f"{verb} puts {name} into the image.", name == ".env"
    if name in _KEY_FILES or (name.endswith((".pem", ".key")) and "key" in name):
        return f"{verb} puts {name} into the image.", True
    if name == ".npmrc" and copy.is_context:
        text = build.tree.text(joined(build.context, source.lstrip("/")))
        if text is not None and _NPMRC_SECRET.search(text):
            return f"{verb} puts .npmrc with its token into the image.", True
    return None


def _added(build: Build) -> Iterator[Finding]:
    for stage in build.reachable:
        for copy in stage.copies:
            if copy.line < stage.line or not copy.is_add:
                continue
            has_sum = any(flag.startswith("--checksum=") for flag in copy.flags)
            for source in copy.sources:
                if source.startswith(("http://", "https://", "git@", "git://")) and not has_sum:
                    what = f"ADD fetches {source}."
                    yield found(rules.ADD_URL, build.file.path, copy.line, what, end_line=copy.end_line)
