"""Checks the installed wheel: it has every file of the package, and each of its modules can be imported.

    python -P .ci/check_wheel.py SOURCES

SOURCES lists the project's files, a line each, as `git ls-files` does.
"""

import importlib
import importlib.metadata
import sys
from pathlib import Path

OPTIONAL = ("torch", "transformers")  # of the extra `local`

sources = Path(sys.argv[1]).read_text("utf-8").splitlines()
package = {name for name in sources if name.startswith("pytest_instructlab_eval/")}
tests = {f"pytest_instructlab_eval/{name}" for name in sources if name.startswith("benchmarks/")}
installed = {str(file) for file in importlib.metadata.files("pytest-instructlab-eval") or ()}
if not package or not tests:
    sys.exit(f"{sys.argv[1]} lists no files of the package.")
if missing := (package | tests) - installed:
    sys.exit(f"The wheel lacks {', '.join(sorted(missing))}.")
for name in sorted(package | tests):
    if name.endswith(".py"):
        module = name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        try:
            importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name not in OPTIONAL:
                raise
print(f"The wheel has all {len(package | tests)} files, and its modules can be imported.")
