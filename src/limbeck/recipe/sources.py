"""The source of a user's own code, so that other code is another run."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path


def source_digest(module: str) -> str:
    """A SHA-256 over the file of a module and of every module beside it that it imports, directly or not.

    Args:
        module: dotted name. What lies outside the folder of its top package (the standard library, installed packages)
            does not count: their versions are recorded with the run.
    """
    found = importlib.util.find_spec(module)
    if found is None or found.origin is None or not Path(found.origin).is_file():
        return ""
    top = Path(found.origin).resolve().parents[module.count(".")]
    seen: dict[Path, bytes] = {}
    waiting = [Path(found.origin).resolve()]
    while waiting:
        path = waiting.pop()
        if path not in seen:
            seen[path] = path.read_bytes()
            waiting += _imported(path, seen[path], top)
    total = hashlib.sha256()
    for path in sorted(seen):
        total.update(f"{path.relative_to(top)}\n".encode() + seen[path])
    return total.hexdigest()


def _imported(path: Path, source: bytes, top: Path) -> Iterator[Path]:
    """The files below `top` that a file imports."""
    try:
        tree = ast.parse(source)
    except SyntaxError:  # importing it will say so, with more words
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names, base = [alias.name for alias in node.names], top
        elif isinstance(node, ast.ImportFrom):
            names = [".".join(filter(None, (node.module, alias.name))) for alias in node.names]
            names += [node.module] if node.module else []
            base = path.parents[node.level - 1] if node.level else top
        else:
            continue
        for name in names:
            parts = name.split(".")
            packages = [base.joinpath(*parts[:depth], "__init__.py") for depth in range(1, len(parts) + 1)]
            files = (base.joinpath(*parts).with_suffix(".py"), *packages)  # importing a module runs its packages too
            yield from (file for file in files if file.is_file())
