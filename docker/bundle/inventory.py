"""What is in a bundle and how much of it: licences, the SBOM (CycloneDX 1.5), and a table of sizes."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

from sources import sha256

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from sources import Machine, Part

_MIB = 1 << 20
_SBOM = "sbom.cdx.json"


def write(
    output: Path, parts: Iterable[Part], machine: Machine, *, is_full: bool, licence: Path, version: str
) -> None:
    """Licences into ``licences/PACKAGE/``, and the SBOM, which lists each file with its digest."""
    folder = output / "licences"
    (folder / "pyinit").mkdir(parents=True)
    shutil.copyfile(licence, folder / "pyinit" / licence.name)
    for part in parts:
        if not part.texts:
            raise SystemExit(f"{part.name} {part.version} comes without a licence")
        (folder / part.name).mkdir()
        for text in part.texts:
            shutil.copyfile(text, folder / part.name / text.name)
    own = {
        "type": "application",
        "bom-ref": f"pkg:pypi/pyinit@{version}",
        "name": "pyinit" if is_full else "pyinit-init",
        "version": version,
        "purl": f"pkg:pypi/pyinit@{version}",
        "licenses": [{"license": {"id": "MIT"}}],
        "properties": [{"name": "pyinit:architecture", "value": machine.debian}],
    }
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": own},
        "components": [*(_component(part) for part in parts), *_files(output)],
        "dependencies": [{"ref": own["bom-ref"], "dependsOn": [part.purl for part in parts]}],
    }
    (output / _SBOM).write_text(json.dumps(document, indent=1) + "\n")


def _component(part: Part) -> dict[str, Any]:
    licences = [{"expression": part.licence}] if _is_expression(part.licence) else []
    return {
        "type": "library",
        "bom-ref": part.purl,
        "name": part.name,
        "version": part.version,
        "purl": part.purl,
        "hashes": [{"alg": "SHA-256", "content": part.sha256}],
        "licenses": licences or [{"license": {"name": part.licence or f"see licences/{part.name}"}}],
    }


def _is_expression(text: str) -> bool:
    # SPDX's words; older metadata has sentences.
    return bool(text) and all(word in ("AND", "OR", "MIT", "0BSD") or "-" in word for word in text.split())


def _files(output: Path) -> list[dict[str, Any]]:
    return [
        {
            "type": "file",
            "name": str(path.relative_to(output)),
            "hashes": [{"alg": "SHA-256", "content": sha256(path)}],
        }
        for path in sorted(output.rglob("*"))
        if path.is_file()
    ]


def size_bytes(folder: Path) -> int:
    """Of all files, as a layer of an image holds them."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def content_table(output: Path, parts: Iterable[Part]) -> str:
    """Sizes in Markdown, the largest first, and what it was built from."""
    groups: dict[str, int] = {}
    for path in output.rglob("*"):
        if path.is_file():
            group = _group(path.relative_to(output).parts)
            groups[group] = groups.get(group, 0) + path.stat().st_size
    lines = ["| what | MiB |", "|---|---|"]
    lines += [
        f"| {name} | {size / _MIB:.2f} |" for name, size in sorted(groups.items(), key=lambda item: -item[1])
    ]
    lines.append(f"| **all** | **{size_bytes(output) / _MIB:.2f}** |")
    lines += ["", "From " + ", ".join(f"{part.name} {part.version}" for part in parts) + "."]
    return "\n".join(lines)


def _group(parts: tuple[str, ...]) -> str:
    if parts[0] == "libexec":
        return {
            "cpython": "the interpreter",
            "libssl.so.3": "OpenSSL",
            "libcrypto.so.3": "OpenSSL",
            "python": "launchers",
        }.get(parts[1], "C library, its loader, and what is linked")
    if parts[0] == "lib":
        if len(parts) > 3 and parts[2] == "site-packages":
            name = parts[3].partition("-")[0].partition(".")[0]
            return f"`{name.replace('attrs', 'attr')}`"
        return "the standard library" if len(parts) > 2 else "launchers"
    return {"bin": "launchers"}.get(parts[0], "licences and the SBOM")
