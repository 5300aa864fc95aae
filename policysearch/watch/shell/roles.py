"""Who may do what: a token per role. It is in a link once, and then in a cookie.

Cookies of one computer reach the pages of all its ports, so that their names have the port. A browser may have
several roles: the page says which it is, as in `/?as=viewer`.
"""

import contextlib
import hmac
import json
import os
import secrets
import stat
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from policysearch.files import read_bytes, replacing

BYTES = 24  # of a token
MAX_BYTES = 10_000  # of the file of tokens


@dataclass(frozen=True)
class Roles:
    """The tokens of roles, by role; who may do more comes first."""

    tokens: Mapping[str, str]

    @classmethod
    def new(cls, names: Collection[str]) -> "Roles":
        """Roles with new tokens."""
        return cls({name: secrets.token_urlsafe(BYTES) for name in names})

    @classmethod
    def kept(cls, path: Path, names: Collection[str]) -> "Roles":
        """The roles that are kept in a file that only its owner can read, or new ones that are kept there.

        Raises:
            OSError: if it cannot be written.
        """
        with contextlib.suppress(OSError, ValueError):
            found = path.lstat()
            if stat.S_ISREG(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077:
                kept = json.loads(read_bytes(path, MAX_BYTES))
                if isinstance(kept, dict) and all(_is_token(kept.get(name)) for name in names):
                    return cls({name: kept[name] for name in names})
        roles = cls.new(names)
        with replacing(path) as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(json.dumps(dict(roles.tokens)).encode())
        return roles

    def of_token(self, token: str) -> str | None:
        """The role of a token."""
        same = [
            role for role, own in self.tokens.items() if hmac.compare_digest(own.encode(), token.encode())
        ]
        return same[0] if same else None

    def of_cookies(self, cookies: Mapping[str, str], port: int, wanted: str = "") -> str | None:
        """The role that cookies allow: the one that is wanted, else the first of those that they allow."""
        for role in [wanted] if wanted else self.tokens:
            if self.of_token(cookies.get(cookie(port, role), "")) == role:
                return role
        return None


def cookie(port: int, role: str) -> str:
    """The name of the cookie of a role."""
    return f"policysearch-{port}-{role}"


def _is_token(value: object) -> bool:
    return isinstance(value, str) and len(value) >= BYTES and value.isascii()
