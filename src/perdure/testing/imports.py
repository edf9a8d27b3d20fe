"""How workflow code is loaded under pytest: as a worker loads it, and compiled once.

The SDK's sandbox imports the module of a workflow anew for each run. Under pytest that goes through pytest's rewriting
of asserts, which parses the source again each time where no bytecode may be written (`PYTHONDONTWRITEBYTECODE`, as many
container images set it). That is slow, and fails where two threads parse at once on Python before 3.11.8
(https://github.com/python/cpython/issues/106905: "AST constructor recursion depth mismatch").
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType

from temporalio import workflow


class SandboxImports(MetaPathFinder):
    """Finds modules that are imported in a sandbox, and leaves all others to the finders after it."""

    def __init__(self) -> None:
        self._compiled: dict[tuple[str, float, int], CodeType] = {}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not workflow.unsafe.in_sandbox():
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is None or type(spec.loader) is not SourceFileLoader:
            return None
        spec.loader = _CompiledOnce(fullname, spec.loader.path, self._compiled)
        return spec


class _CompiledOnce(SourceFileLoader):
    def __init__(self, fullname: str, path: str, compiled: dict[tuple[str, float, int], CodeType]) -> None:
        super().__init__(fullname, path)
        self._compiled = compiled

    def get_code(self, fullname: str) -> CodeType | None:
        stats = self.path_stats(self.path)
        key = (str(self.path), stats["mtime"], stats["size"])
        if key not in self._compiled and (code := super().get_code(fullname)) is not None:
            self._compiled[key] = code
        return self._compiled.get(key)
