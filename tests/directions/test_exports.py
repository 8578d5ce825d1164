"""What `import directions` offers, and what it leaves unimported."""

from __future__ import annotations

import subprocess
import sys

import pytest

import directions


def test_every_name_is_there() -> None:
    for name in directions.__all__:
        assert getattr(directions, name).__name__ == name
    assert set(directions.__all__) <= set(dir(directions))
    with pytest.raises(AttributeError, match="module 'directions' has no attribute 'magic'"):
        directions.magic  # noqa: B018


def test_importing_it_imports_no_more_than_a_bank_needs() -> None:
    code = (
        "import sys, directions; print([m for m in sys.modules if m.split('.')[0] in "
        "('matplotlib', 'PIL', 'pyarrow', 'sklearn', 'scipy') "
        "or m.startswith(('directions.generators', 'directions.classifiers'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_computing_needs_nothing_that_files_pictures_and_bars_need() -> None:
    code = (
        "import sys; "
        "absent = ('matplotlib', 'PIL', 'pyarrow', 'pydantic', 'tqdm'); "
        "sys.modules.update(dict.fromkeys(absent)); "
        "import analysis.edits.effects, directions.scoring.scorer; "
        "import discovery.unsupervised.pca, discovery.jacobian.global_basis; "
        "import discovery.estimators.svm, directions.classifiers.faces.classifier"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
