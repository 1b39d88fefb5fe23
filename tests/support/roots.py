"""Root file systems that lack what most images have: a shell and a C library of Debian's, or all but Node's own."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import engine

if TYPE_CHECKING:
    from engine import Engine

PAGE = "a page of busybox"
# Node, what it is linked against, and one user: as distroless images are.
_DISTROLESS = """\
FROM {base} AS files
RUN set -e; mkdir -p /root-of-it/etc /root-of-it/usr/bin; \\
    cp --dereference "$(command -v node)" /root-of-it/usr/bin/node; \\
    for file in $(ldd /root-of-it/usr/bin/node | grep -o '/[^ ]*'); do \\
      cp --parents --dereference "$file" /root-of-it; \\
    done; \\
    echo nonroot:x:65532:65532::/:/none >/root-of-it/etc/passwd
FROM scratch
COPY --from=files /root-of-it /
COPY --from={pyinit} /opt/pyinit /opt/pyinit
COPY server.js websocket.js /app/
USER nonroot
ENTRYPOINT ["/opt/pyinit/bin/pyinit", "--listen", "8080", "--"]
CMD ["/usr/bin/node", "/app/server.js"]
"""
_MUSL = """\
FROM {base}
COPY --from={pyinit} /opt/pyinit /opt/pyinit
ENTRYPOINT ["/opt/pyinit/bin/pyinit", "--listen", "8080", "--upstream", "3000", "--"]
CMD ["/bin/busybox", "httpd", "-f", "-p", "127.0.0.1:3000", "-h", "/srv"]
"""


def add_distroless(found: Engine, tag: str, *, pyinit: str, app: Path, work: Path) -> None:
    """An image of the example app with no shell and no package manager.

    Args:
        found: where it is to be.
        tag: its name.
        pyinit: the image that holds /opt/pyinit.
        app: the folder of server.js.
        work: an empty folder.
    """
    (work / "Dockerfile").write_text(_DISTROLESS.format(base=engine.BASE, pyinit=pyinit))
    found.build(tag, app, f"--file={work / 'Dockerfile'}")


def add_musl(found: Engine, tag: str, *, pyinit: str, work: Path) -> None:
    """An image of musl and busybox, as Alpine is, with no glibc but the bundle's; busybox's httpd is the app.

    Args:
        found: where it is to be.
        tag: its name.
        pyinit: the image that holds /opt/pyinit.
        work: an empty folder.
    """
    packages = engine.unpacked("musl", "musl", "busybox-static")
    archive = work / "musl.tar"
    (work / "index.html").write_text(PAGE)
    with tarfile.open(archive, "w") as tar:
        for folder in ("bin", "lib"):
            tar.add(packages / folder, folder)
        link = tarfile.TarInfo("bin/sh")
        link.type, link.linkname = tarfile.SYMTYPE, "busybox"
        tar.addfile(link)
        tar.add(work / "index.html", "srv/index.html")
    found.import_tar(archive, f"{tag}-base", "ENV PATH=/bin")
    (work / "Dockerfile").write_text(_MUSL.format(base=f"{tag}-base", pyinit=pyinit))
    found.build(tag, work)
