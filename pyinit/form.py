"""Which form of the hot path is installed: the sources, or what mypyc has made of them (hatch_build.py)."""

import _imp
import os


def form() -> str:
    """``compiled`` or ``pure``. Looked up and not imported: init mode, which says it too, has no hot path."""
    hot = os.path.join(os.path.dirname(__file__), "proxy", "exchange")
    is_compiled = any(os.path.exists(hot + suffix) for suffix in _imp.extension_suffixes())
    return "compiled" if is_compiled else "pure"
