"""The wheel's file list, and versions and settings that are written in two places."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("directions", "discovery", "analysis", "latdir")
DATA = ("py.typed", ".html", ".css", ".js", ".safetensors", ".md", ".json")


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def shipped() -> set[str]:
    """Every module and data file of the packages."""
    files = (file for package in PACKAGES for file in (ROOT / package).rglob("*") if file.is_file())
    return {
        file.relative_to(ROOT).as_posix()
        for file in files
        if file.suffix == ".py" or file.name.endswith(DATA) or file.name.startswith("LICENSE")
    }


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel in `LATDIR_WHEEL_FOLDER`, or one built from the working tree without network."""
    given = os.environ.get("LATDIR_WHEEL_FOLDER")
    folder = Path(given) if given else tmp_path_factory.mktemp("wheel")
    if not given:
        copy = tmp_path_factory.mktemp("source")
        for name in (*PACKAGES, "pyproject.toml", "setup.py", "README.md", "LICENSE"):
            subprocess.run(["cp", "-r", str(ROOT / name), str(copy)], check=True)
        build = f"from setuptools import build_meta; build_meta.build_wheel({str(folder)!r})"
        subprocess.run([sys.executable, "-c", build], cwd=copy, check=True, capture_output=True)
    (found,) = folder.glob("*.whl")
    return found


def test_the_wheel_holds_every_module_and_data_file_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    inside = {name for name in names if ".dist-info/" not in name}
    assert inside == shipped()
    assert {"analysis/report/report.html", "analysis/report/report.css"} <= inside
    assert any(name.startswith("directions/zoo/") for name in inside if "safetensors" in name)
    assert not any(name.startswith(("tests/", "tools/", "benchmarks/")) for name in names)


def test_the_metadata_is_what_a_package_index_wants(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        metadata = Parser().parsestr(archive.read(name).decode())
        licenses = [n for n in archive.namelist() if ".dist-info/licenses/" in n]
    assert metadata["License-Expression"] == "MIT"
    assert sorted(metadata.get_all("License-File")) == sorted(
        name.partition("licenses/")[2] for name in licenses
    )
    assert len(licenses) == len(list((ROOT / "directions" / "zoo").glob("*/LICENSE*"))) + 1
    assert not [c for c in metadata.get_all("Classifier") if c.startswith("License")]
    pages = {url.partition(", ")[0] for url in metadata.get_all("Project-URL")}
    assert {"Repository", "Documentation", "Changelog", "Issues"} <= pages
    assert metadata["Description-Content-Type"] == "text/markdown"
    text = metadata.get_payload()
    relative = re.findall(r"\]\((?!https://)[^)]*\)", text)
    assert relative == [], "a package index has no file beside the readme"
    assert f"]({project()['urls']['Repository']}/raw/main/docs/images/explorer.png)" in text


@pytest.mark.slow
def test_the_source_distribution_has_tests_data_and_documentation(tmp_path: Path) -> None:
    build = f"from setuptools import build_meta; build_meta.build_sdist({str(tmp_path)!r})"
    copy = tmp_path / "source"
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.split()
    for name in listed:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, copy / name)
    subprocess.run([sys.executable, "-c", build], cwd=copy, check=True, capture_output=True)
    (found,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(found) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    assert [name for name in listed if name not in held] == []


def test_every_folder_of_modules_is_a_package() -> None:
    folders = {path.parent for package in PACKAGES for path in (ROOT / package).rglob("*.py")}
    assert [folder for folder in folders if not (folder / "__init__.py").is_file()] == []


def test_pre_commit_and_constraints_name_the_same_ruff() -> None:
    hooks = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    (rev,) = re.findall(r"ruff-pre-commit\n\s+rev: v(\S+)", hooks)
    assert f"ruff=={rev}\n" in (ROOT / "constraints.txt").read_text(encoding="utf-8")


def test_the_citation_has_the_version_and_license_of_the_project() -> None:
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    source = (ROOT / "latdir" / "__init__.py").read_text(encoding="utf-8")
    (version,) = re.findall(r'^__version__ = "(.*)"$', source, re.MULTILINE)
    assert f"\nversion: {version}\n" in citation
    assert f"\nlicense: {project()['license']}\n" in citation


def test_the_workflow_tests_every_supported_python() -> None:
    workflow = (ROOT / ".github/workflows/tests.yml").read_text(encoding="utf-8")
    (listed,) = re.findall(r"python: \[(.*)\]", workflow)
    assert project()["requires-python"] == f">={listed.split(',')[0].strip(chr(34))}"
