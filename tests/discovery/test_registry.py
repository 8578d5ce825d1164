"""Names of the built-in methods."""

import pytest

from discovery.registry import METHODS, find_method


@pytest.mark.parametrize("name", METHODS)
def test_name_file_and_class_agree(name: str) -> None:
    module, _, cls = METHODS[name].location.partition(":")
    assert module.rpartition(".")[2] == name
    assert cls.lower() == name.replace("_", "")
    assert find_method(name).method == name
