"""Base images by their names: what is known of the common ones without asking a registry."""

from __future__ import annotations

import re
from typing import NamedTuple

# Of official images; whoever runs them is root unless USER says otherwise.
_ROOT = frozenset(
    ("node", "debian", "ubuntu", "alpine", "fedora", "busybox", "scratch", "amazonlinux", "python", "nginx")
)
_OFFICIAL = frozenset(("", "library", "docker.io/library", "docker.io", "public.ecr.aws/docker/library"))
_MOVING = re.compile(r"(latest|edge|nightly|snapshot|main|master|stable|rolling)\b")


class Image(NamedTuple):
    """A reference, taken apart.

    Attributes:
        repository: without registry and namespaces.
        namespace: what stands before it.
        tag: empty for none.
        digest: empty for none.
    """

    repository: str
    namespace: str
    tag: str
    digest: str

    @property
    def is_node(self) -> bool:
        """Whether it brings Node along."""
        return self.repository == "node" or re.fullmatch(r"nodejs[0-9]*(-.*)?", self.repository) is not None

    @property
    def is_distroless(self) -> bool:
        """Neither a shell nor a package manager."""
        return "distroless" in self.namespace

    @property
    def entrypoint(self) -> tuple[str, ...]:
        """What of its own stands in front of CMD; empty for none, and for node's script, which ends in exec "$@"."""
        if self.is_distroless and self.is_node:
            return ("/nodejs/bin/node",)
        return ("/usr/bin/node",) if self.namespace == "cgr.dev/chainguard" and self.is_node else ()

    @property
    def is_root(self) -> bool | None:
        """Whether it runs as root by itself; None where that is not known."""
        if self.tag.endswith("nonroot") or self.namespace.startswith(("cgr.dev/chainguard", "dhi.io")):
            return False
        if self.namespace.startswith("registry.access.redhat.com/ubi") and self.is_node:
            return False
        if self.is_distroless or (self.namespace in _OFFICIAL and self.repository in _ROOT):
            return True
        return None

    @property
    def moves(self) -> bool:
        """Whether the same name is another version tomorrow."""
        if self.digest or self.repository == "scratch":
            return False
        if not self.tag or _MOVING.match(self.tag):
            return True
        return self.namespace in _OFFICIAL and self.is_node and not re.match(r"v?[0-9]", self.tag)

    def has_tool(self, name: str) -> bool | None:
        """Whether curl or wget is in it; None where that is not known."""
        if self.is_distroless:
            return False
        if self.namespace not in _OFFICIAL or self.repository not in _ROOT:
            return None
        if self.repository == "alpine" or "alpine" in self.tag:
            return name == "wget"  # busybox has it
        if "slim" in self.tag or self.repository in ("debian", "ubuntu"):
            return False
        return True if self.repository == "node" else None


def parse(text: str) -> Image:
    """Take a reference apart."""
    rest, _, digest = text.partition("@")
    namespace, _, last = rest.rpartition("/")
    repository, _, tag = last.partition(":")
    return Image(repository, namespace, tag, digest)
