"""Every test runs with the shapes in the package's signatures checked at call time."""

from jaxtyping import install_import_hook

install_import_hook("policysearch", "typechecker.check")
