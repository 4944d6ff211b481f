"""What a systemd unit gives its service: read from its files, so that it is known where systemd does not run, too.

systemd.unit(5) says which files count: the unit of the first folder that has it, then drop-ins by name, of which the
first folder wins as well. In lists an empty assignment forgets those before it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from healthd.doctor.facts import Rights
from healthd.privileges import Capabilities, Capability

FOLDERS = tuple(Path(folder, "systemd/system") for folder in ("/etc", "/run", "/usr/local/lib", "/usr/lib", "/lib"))
NAME = "healthd.service"
EVERYTHING: Capabilities = frozenset(Capability)
NO = ("", "no", "false", "off", "0")


def rights_of_unit(folders: Sequence[Path] = FOLDERS, name: str = NAME) -> Rights | None:
    """What the service may do; None if there is no such unit. Files that cannot be read count as empty."""
    files = _files(folders, name)
    if not files:
        return None
    settings: dict[str, list[str]] = {}
    for key, value in (pair for file in files for pair in _assignments(file)):
        settings[key] = [*settings.get(key, []), value] if value else []
    user = _last(settings, "User") or "root"
    bounding = _capabilities(settings.get("CapabilityBoundingSet"), EVERYTHING)
    ambient = _capabilities(settings.get("AmbientCapabilities"), frozenset())
    return Rights(
        f"{name} (user {user})",
        bounding if user in ("root", "0") else ambient & bounding,
        _limit(_last(settings, "LimitNOFILE")),
        _last(settings, "RestrictNamespaces").lower() in NO,
    )


def _files(folders: Sequence[Path], name: str) -> list[Path]:
    unit = next((folder / name for folder in folders if (folder / name).is_file()), None)
    if unit is None:
        return []
    dropped: dict[str, Path] = {}
    for folder in folders:
        for file in (folder / f"{name}.d").glob("*.conf"):
            dropped.setdefault(file.name, file)
    return [unit, *(dropped[each] for each in sorted(dropped))]


def _assignments(file: Path) -> Iterator[tuple[str, str]]:
    """Key and value of each line of [Service]."""
    try:
        text = file.read_text(errors="replace").replace("\\\n", " ")
    except OSError:
        return
    section = ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith("["):
            section = line
        elif section == "[Service]" and "=" in line and line[0] not in "#;":
            key, _, value = line.partition("=")
            yield key.strip(), value.strip()


def _last(settings: dict[str, list[str]], key: str) -> str:
    return (settings.get(key) or [""])[-1]


def _capabilities(values: list[str] | None, default: Capabilities) -> Capabilities:
    """The set that lines add up to; one that begins with ~ takes away, from everything if it is the first."""
    if values is None:
        return default
    found: Capabilities = frozenset()
    for number, value in enumerate(values):
        named = {word.upper().removeprefix("CAP_") for word in value.removeprefix("~").split()}
        meant = frozenset(capability for capability in Capability if capability.name in named)
        if value.startswith("~"):
            found = (found if number else EVERYTHING) - meant
        else:
            found |= meant
    return found


def _limit(value: str) -> int | None:
    """The hard limit of SOFT:HARD or of one number; None if there is none, or nobody says."""
    last = value.rpartition(":")[2]
    return int(last) if last.isdecimal() else None
