"""The readme as a package index shows it: links and pictures with the repository's address."""

import re
import tomllib
from pathlib import Path

from setuptools import setup

ROOT = Path(__file__).parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def absolute(text: str, repository: str) -> str:
    """Markdown with relative links made absolute, those of pictures to the raw files."""

    def link(match: re.Match[str]) -> str:
        kind = "raw" if match[1] else "blob"
        return f"{match[1]}{match[2]}({repository}/{kind}/main/{match[3]})"

    return re.sub(r"(!?)(\[[^\]]*\])\((?!https?:|#)([^)]+)\)", link, text)


setup(
    long_description=absolute(
        (ROOT / "README.md").read_text(encoding="utf-8"), PROJECT["urls"]["Repository"]
    ),
    long_description_content_type="text/markdown",
)
