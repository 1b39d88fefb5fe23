"""The two commands as they are installed find their packages in the same way."""

from __future__ import annotations

from tests.support.process import ROOT

SCRIPTS = ROOT / "pyinit/scripts"


def search(script: str) -> str:
    """Between the import of sys and that of the package."""
    text = (SCRIPTS / script).read_text()
    return text[text.index("\n\ndef packages()") : text.index("from pyinit.")]


def test_both_scripts_find_packages_alike() -> None:
    """It cannot be imported from a package that is yet to be found, so it stands in each."""
    assert search("pyinit.py") == search("pyinitctl.py")
    assert "sys.path += packages()" in search("pyinitctl.py")


def test_both_are_installed() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    table = text.partition("[tool.hatch.build.targets.wheel.shared-scripts]\n")[2].partition("\n[")[0]
    assert table.split("\n")[:2] == [
        '"pyinit/scripts/pyinit.py" = "pyinit"',
        '"pyinit/scripts/pyinitctl.py" = "pyinitctl"',
    ]
