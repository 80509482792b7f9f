"""Free memory of the machine, or of the container that it is."""

import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")


def free_memory() -> float:
    """Bytes that this process may still take, by the system and the limit of its container."""
    limit, used = first_line(CGROUP / "memory.max"), first_line(CGROUP / "memory.current")
    found = [_available()]
    if limit.isdecimal() and used.isdecimal():
        found.append(float(limit) - float(used))
    return max(min(found), 0.0)


def in_words(count: float) -> str:
    """``1.4 GiB`` or ``35 MiB``."""
    return f"{count / 2**30:.1f} GiB" if count >= 2**29 else f"{max(1, round(count / 2**20))} MiB"


def first_line(path: Path) -> str:
    """First line of a file of the system, empty if there is none."""
    try:
        return path.read_text().partition("\n")[0].strip()
    except OSError:
        return ""


def _available() -> float:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return 1024.0 * float(line.split()[1])
    except (OSError, ValueError, IndexError):
        pass
    try:
        return 0.5 * os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")  # where the system does not say: half of all
    except (AttributeError, OSError, ValueError):
        return 4.0 * 2**30
