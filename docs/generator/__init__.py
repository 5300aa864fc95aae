"""Pages that are written from the code: commands, methods, tasks, policies, the API, and the pages of `results/`."""

from pathlib import Path

from generator import api, commands, gallery, methods, policies, results, tasks

#: What is written below `docs/`, and by what; git ignores these folders.
WRITERS = {
    "reference/commands": commands.pages,
    "reference/methods": methods.pages,
    "reference/policies": policies.pages,
    "reference/tasks": tasks.pages,
    "reference/api": api.pages,
    "results/studies": results.pages,
    "results/gallery": gallery.pages,
}


def write_all(docs: Path) -> None:
    """Write every page that has changed, and remove those that are no longer written."""
    for folder, pages in WRITERS.items():
        written = {docs / folder / name: text for name, text in pages().items()}
        for path in (docs / folder).rglob("*.md"):
            if path not in written:
                path.unlink()
        for path, text in written.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists() or path.read_text(encoding="utf-8") != text:
                path.write_text(text, encoding="utf-8")
