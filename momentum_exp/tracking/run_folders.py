"""Where run folders lie: at or below a folder, with those that are links right below it."""

from pathlib import Path


def folders_with(names: tuple[str, ...], root: Path) -> list[Path]:
    """The folders at or below `root` that hold a file of one of these names: those nearest to it first, then by path.

    A symbolic link right below `root` is followed, as a run may lie on another disk; deeper ones are not.
    """
    found = {file.parent for name in names for way in ("*", "**") for file in root.glob(f"{way}/{name}")}
    return sorted(found, key=lambda path: (len(path.parts), path))
