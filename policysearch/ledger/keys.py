"""The key of an event and its text, in which it is kept; many events in a row have the same."""

from functools import lru_cache

from policysearch.plain_data import decode, encode

Key = tuple[str | int, ...]


@lru_cache(256)
def key_text(key: Key) -> str:
    """The text of a key."""
    return encode(list(key))


@lru_cache(256)
def key_of(text: str) -> Key:
    """The key of a text.

    Raises:
        ValueError, TypeError: for another text.
    """
    return tuple(decode(text))
