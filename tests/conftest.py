"""Every test runs with the shapes in the package's signatures checked at call time.

Modules of functions for Numba are left alone: it compiles what is written, not a checking wrapper.
"""

from pathlib import Path

from jaxtyping import install_import_hook

PACKAGE = Path(__file__).parent.parent / "policysearch"
#: Modules with functions that Numba compiles, which a type checker must not wrap.
COMPILED = {PACKAGE / "jit.py", PACKAGE / "policies/kernels.py", PACKAGE / "evaluators/loop.py"} | {
    path for path in PACKAGE.rglob("*.py") if "\nfrom numba import" in path.read_text(encoding="utf-8")
}
CHECKED = [
    ".".join(("policysearch", *path.relative_to(PACKAGE).with_suffix("").parts))
    for path in sorted(PACKAGE.rglob("*.py"))
    if path.name != "__init__.py" and path not in COMPILED
]

install_import_hook(CHECKED, "typechecker.check")
