"""Which files belong to a configuration besides its first: what `include` names, and where further ones may come."""

from __future__ import annotations

import glob
from collections.abc import Iterable
from pathlib import Path

from healthd.config.decode import At, Report, Told, take
from healthd.config.kinds import many, text

MAIN = "healthd.toml"
INCLUDE = ("services.d/*.toml",)


def main_file(path: Path) -> Path:
    """The first file of the configuration at a path, which may be that of a folder.

    What cannot be told of the path shows when the file is read.
    """
    try:
        return path / MAIN if path.is_dir() else path
    except OSError:
        return path


def included(root: At, folder: Path, report: Report) -> list[Path]:
    """The files that the main file includes, sorted, each once. folder: where the main file is."""
    found: list[Path] = []
    for at, pattern in _patterns(root, report):
        found += _expand(at, folder, pattern, "include" in root.source.tree, report)
    return [name for name in dict.fromkeys(found) if not _same(name, Path(root.source.name))]


def folders(root: At, folder: Path) -> list[Path]:
    """The folders in which files may come that the main file would include."""
    return [_fixed(folder, pattern) for _, pattern in _patterns(root, Report(strict_files=False))]


def _patterns(root: At, report: Report) -> list[tuple[At, str]]:
    given = root.source.tree.get("include")
    kind = many(text, 'a list of files or patterns such as "services.d/*.toml"')
    try:
        patterns = INCLUDE if given is None else take(kind, given, root, "include", report)
    except Told:
        return []
    at = root / "include"
    return [(at / number if isinstance(given, list) else at, pattern) for number, pattern in enumerate(patterns)]


def _same(one: Path, other: Path) -> bool:
    """Whether two paths are one file, as where a pattern matches the file that has it."""
    try:
        return one.samefile(other)
    except OSError:
        return False


def _expand(at: At, folder: Path, pattern: str, asked: bool, report: Report) -> list[Path]:
    """Files that match a pattern. A folder that cannot be read is an error: its services would seem to be gone."""
    if not glob.has_magic(pattern):
        return [folder / pattern]
    fixed = _fixed(folder, pattern)
    try:
        next(fixed.iterdir(), None)
    except OSError as error:
        if asked or not isinstance(error, FileNotFoundError):
            report.error(at, f"include: cannot read folder {fixed}: {error.strerror}", found=pattern)
        return []
    full = Path(glob.escape(str(folder))) / pattern
    found = sorted(Path(name) for name in glob.glob(str(full), recursive=True))  # noqa: PTH207 - pattern may be absolute
    if asked and not found:
        report.warning(at, f"include: no file matches {pattern}", found=pattern)
    return found


def _fixed(folder: Path, pattern: str) -> Path:
    """The folder below which all lies that a pattern may match."""
    if glob.has_magic(pattern):
        return folder.joinpath(*_before_magic(Path(pattern).parts))
    return (folder / pattern).parent


def _before_magic(parts: Iterable[str]) -> Iterable[str]:
    for part in parts:
        if glob.has_magic(part):
            return
        yield part
