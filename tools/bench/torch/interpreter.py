"""Finds a Python interpreter that can import the modules a script needs.

Distributions put PyTorch into their own /usr/bin/python3 while `python3` on the PATH is often another interpreter, so a
script that lacks a module starts itself again under the first interpreter that has it. The process id, the arguments
and the standard streams stay the same, which a program driving the script over pipes relies on.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys

MISSING_EXIT_CODE = 3
_TRIED = "EDGESHIFT_PYTHON_TRIED"


def _missing(modules: tuple[str, ...]) -> list[str]:
    return [name for name in modules if importlib.util.find_spec(name) is None]


def _can_import(interpreter: str, modules: tuple[str, ...]) -> bool:
    probe = "import importlib.util, sys; sys.exit(any(importlib.util.find_spec(m) is None for m in sys.argv[1:]))"
    try:
        finished = subprocess.run([interpreter, "-c", probe, *modules], capture_output=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return finished.returncode == 0


def need(*modules: str) -> None:
    """Returns if every module can be imported; else restarts under an interpreter that has them, or exits with 3."""
    missing = _missing(modules)
    if not missing:
        return
    if _TRIED not in os.environ:
        for candidate in (os.environ.get("PYTHON"), "python3", "/usr/bin/python3"):
            path = shutil.which(candidate) if candidate else None
            if path and _can_import(path, modules):
                os.environ[_TRIED] = "1"
                os.execv(path, [path, *sys.argv])
    print(
        f"skipped: no Python interpreter here can import {', '.join(modules)} "
        f"({sys.executable} lacks {', '.join(missing)}).\n"
        "Hint: install them (Debian: apt-get install python3-torch python3-onnx) or point PYTHON at an interpreter "
        "that has them.",
        file=sys.stderr,
    )
    sys.exit(MISSING_EXIT_CODE)
