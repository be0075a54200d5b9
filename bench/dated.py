"""What every harness says of the machine, and how a result gets its dated file."""

import datetime
import os
import platform
import re
import subprocess
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent


def machine():
    """The processor's name."""
    found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return found.group(1) if found else platform.machine()


def commit():
    """The commit that is checked out, short."""
    return subprocess.check_output(["git", "rev-parse", "--short", "HEAD"], cwd=REPOSITORY, text=True).strip()


def tell(what, lines, dry):
    """Prints `lines`; unless `dry`, they become bench/results/<date>-<what>-<machine>.md."""
    text = "\n".join(lines)
    print(text)
    if dry:
        return
    name = "-".join(re.sub(r"[^a-z0-9]+", "-", machine().lower()).strip("-").split("-")[:2])
    day = datetime.date.today().isoformat()
    (REPOSITORY / f"bench/results/{day}-{what}-{name}-{os.cpu_count()}cpu.md").write_text(text)
