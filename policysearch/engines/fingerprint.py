"""What a worker has to have in common with the driver: versions, the source of this package, modules and files.

Processor and BLAS kernel may differ. Modules of the user are found by the names in the message that rebuilds the
evaluator; a worker compares the digests of their files, which is done without importing them.
"""

import pickletools
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import policysearch
from policysearch.digests import Digests, of_files, of_module
from policysearch.digests.code import Module, hashed, hashed_file
from policysearch.provenance import versions

PACKAGES = ("numpy", "scipy", "numba", "gymnasium", "mujoco", "cma")


@cache
def software() -> dict[str, str]:
    """Versions, and the digest of the source of this package, of this process."""
    folder = Path(policysearch.__file__).parent
    files = sorted(folder.rglob("*.py"))
    held = "\n".join(f"{path.relative_to(folder)} {hashed_file(path)}" for path in files)
    return {
        **versions(*PACKAGES),
        "policysearch": policysearch.__version__,
        "source of policysearch": hashed(held),
    }


@dataclass(frozen=True)
class Fingerprint:
    """Of the driver: software, digests of modules, and of files by their paths."""

    software: dict[str, str]
    modules: dict[str, str]
    files: dict[str, str]

    @classmethod
    def of(cls, message: bytes, depends: tuple[str, ...] = ()) -> "Fingerprint":
        """That of a message, and of the files that its rollouts depend on.

        Raises:
            ValueError: for a file that cannot be read.
        """
        texts = {part for _, part, _ in pickletools.genops(message) if isinstance(part, str)}
        found = Digests()
        for name in sorted({text.partition(":")[0] for text in texts}):
            if name in sys.modules:
                found |= of_module(name)
        return cls.of_digests(found | of_files(depends))

    @classmethod
    def of_digests(cls, digests: Digests) -> "Fingerprint":
        """That of what a study runs."""
        known = digests.known.items()
        modules = {title: text for title, text in known if title.startswith("module ")}
        modules.pop("module __main__", None)
        files = {title: text for title, text in known if title.startswith(("file ", "folder "))}
        return cls(software(), modules, files)

    def differences(self) -> list[str]:
        """What this process has other than the driver, in words."""
        now = software()
        lines = [
            f"{name} is {now.get(name, 'not there')}, at the driver {self.software.get(name, 'not there')}"
            for name in {**self.software, **now}
            if self.software.get(name) != now.get(name)
        ]
        here = Module("", Path("none.py"), tuple(sys.path), elsewhere=True)
        for title, digest in self.modules.items():
            name = title.removeprefix("module ")
            found = [module for module in here.found(name) if module.name == name]
            if not found:
                lines.append(f"{title} is not there")
            elif found[0].digest != digest:
                lines.append(f"{title} ({found[0].path}) is another one")
        for title, digest in self.files.items():
            try:
                (digest_here,) = of_files([title.partition(" ")[2]]).known.values()
            except ValueError:
                lines.append(f"{title} cannot be read")
                continue
            lines += [f"{title} is another one"] if digest_here != digest else []
        return lines
