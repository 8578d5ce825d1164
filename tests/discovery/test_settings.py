"""Flags without imports: what is read of a method's source is what its class says."""

import subprocess
import sys
from pathlib import Path
from typing import Literal

import pytest

from discovery.base import GeneratorMethod, TextMethod
from discovery.registry import METHODS, describe, find_method
from discovery.settings import described, read_method


@pytest.mark.parametrize("name", METHODS)
def test_the_source_says_what_the_class_says(name: str) -> None:
    assert describe(name) == described(find_method(name))
    assert all(setting.help for setting in describe(name).settings)


def test_aliases_of_other_modules_and_all_kinds_of_defaults_are_read() -> None:
    found = read_method("discovery.text.clip_global:ClipGlobal")
    settings = {setting.name: setting for setting in found.settings}
    assert found.family is TextMethod
    assert settings["precision"].type == Literal["float32", "bfloat16"]
    assert settings["beta"].type == float | None
    assert settings["beta"].default is None
    assert settings["leakage"].help.startswith("Keep as many channels")
    assert settings["leakage"].help.count("\n") == 0


def test_objects_to_work_with_are_neither_flags_nor_settings() -> None:
    names = [setting.name for setting in describe("clip_global").settings]
    assert {"axes", "classifier", "relevance", "state"}.isdisjoint(names)
    method = find_method("clip_global")(state="kept.safetensors")
    assert list(method.config) == names
    assert method.state == "kept.safetensors"
    assert method == find_method("clip_global")()


@pytest.mark.parametrize("name", [n for n in METHODS if n.startswith("clip")])
def test_methods_of_texts_share_one_discover(name: str) -> None:
    assert find_method(name).discover is TextMethod.discover


def test_fields_of_a_shared_base_come_first(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "toys").mkdir()
    (tmp_path / "toys" / "shared.py").write_text(
        "class Shared(GeneratorMethod):\n"
        '    """Shared.\n\n    Attributes:\n        depth: Of it.\n    """\n\n    depth: int = -1\n'
    )
    (tmp_path / "toys" / "toy.py").write_text(
        "from toys.shared import Shared\n\nclass Toy(Shared):\n"
        '    """Toy.\n\n    Attributes:\n        width: Of it,\n            and more.\n    """\n\n'
        "    method: ClassVar[str] = 'toy'\n    width: float = 2.0\n"
    )
    (tmp_path / "toys" / "__init__.py").write_text("raise RuntimeError('imported')\n")
    monkeypatch.syspath_prepend(tmp_path)
    found = read_method("toys.toy:Toy")
    assert found.family is GeneratorMethod
    assert [(s.name, s.default, s.help) for s in found.settings] == [
        ("depth", -1, "Of it."),
        ("width", 2.0, "Of it, and more."),
    ]


def test_reading_every_method_imports_no_torch() -> None:
    code = (
        "import sys; from discovery.registry import METHODS, describe\n"
        "[describe(name) for name in METHODS]\n"
        "print([m for m in ('torch', 'numpy', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
