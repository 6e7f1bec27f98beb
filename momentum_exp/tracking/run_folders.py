"""Where run folders lie: at or below a folder, with those that are links right below it."""

from pathlib import Path


def folders_with(names: tuple[str, ...], root: Path) -> list[Path]:
    """The folders at or below `root` that hold a file of one of these names, in the order of their paths.

    A symbolic link right below `root` is followed, as a run may lie on another disk; deeper ones are not.
    """
    return sorted({file.parent for name in names for way in ("*", "**") for file in root.glob(f"{way}/{name}")})
