"""What Git knows of the working directory."""

import subprocess


def commit() -> str | None:
    """Return the commit of the working directory; None without Git."""
    found = _run("rev-parse", "HEAD")
    return found and found.strip()


def committed(path: str) -> str | None:
    """Return the text of a file of the working directory in the last commit; None where there is none."""
    return _run("show", f"HEAD:./{path}")


def _run(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, encoding="utf-8", timeout=5, check=True)
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return None
    return done.stdout
