"""Scores that commands keep: an interrupted one goes on, and the next one reads them."""

from __future__ import annotations

from pathlib import Path

import pytest

from latdir.cache import CACHE, cache_folder

STOPPING = """
import directions as d, torch
calls, stop_at = [], [10]
def generator():
    return d.wrap(lambda z: torch.tanh(z)[:, :3, None, None].expand(-1, -1, 4, 4), latent_dim=8,
                  name="toy", version="1")
def classifier():
    def score(images):
        calls.append(len(images))
        if len(calls) == stop_at[0]:
            raise KeyboardInterrupt
        return images.mean((2, 3))
    return d.wrap_classifier(score, attributes=["red", "green", "blue"], version="1")
"""
MODELS = "--generator mine:generator --classifier mine:classifier"


@pytest.fixture
def bank(typed, beside, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A bank of the toy generator, and a folder for kept scores."""
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
    beside(STOPPING)
    import mine  # type: ignore[import-not-found]

    mine.stop_at[0] = 0
    assert typed(f"sample {MODELS} --count 200 --out s")[0] == 0
    assert typed("discover boundary --samples s --out b.safetensors")[0] == 0
    mine.calls.clear()
    return "b.safetensors"


COMMANDS = {
    "effects": "effects b.safetensors --count 200",
    "evaluate": "evaluate b.safetensors --count 64 --null 3 --out e",
    "compare": "compare b.safetensors --count 64",
    "report": "report b.safetensors --count 64 --out r.html",
}


@pytest.mark.parametrize("command", COMMANDS)
def test_an_interrupted_command_says_what_is_kept_and_goes_on(
    command: str, bank: str, typed, tmp_path: Path
):
    import mine

    mine.stop_at[0] = 4
    code, _, err = typed(f"{COMMANDS[command]} {MODELS}")
    assert code == 130
    kept = sum(mine.calls[:-1])
    assert f"the scores of {kept} images are kept in {tmp_path / 'cache'}: run the same" in err
    mine.calls.clear()
    mine.stop_at[0] = 0
    code, _, err = typed(f"{COMMANDS[command]} {MODELS}")
    assert code == 0, err
    whole = sum(mine.calls)
    mine.calls.clear()
    (tmp_path / "cache" / "scores.sqlite").unlink()
    assert typed(f"{COMMANDS[command]} {MODELS}")[0] == 0
    assert sum(mine.calls) == whole + kept


def test_a_report_after_an_evaluation_scores_nothing_again(bank: str, typed):
    import mine

    assert typed(f"evaluate {bank} --count 64 {MODELS}")[0] == 0
    measured = sum(mine.calls)
    mine.calls.clear()
    assert typed(f"report {bank} --count 64 --out r.html {MODELS}")[0] == 0
    assert measured > 500
    assert sum(mine.calls) < 50, "strips of the report, at most"


def test_nothing_is_kept_where_that_is_off(bank: str, typed, tmp_path: Path, monkeypatch):
    import mine

    monkeypatch.setenv(CACHE, "off")
    mine.stop_at[0] = 4
    code, _, err = typed(f"effects {bank} --count 200 {MODELS}")
    assert code == 130
    assert "nothing was kept: the same command starts from the beginning (LATDIR_CACHE=" in err
    assert not (tmp_path / "cache").exists()


def test_a_folder_that_cannot_be_written_is_a_warning(bank: str, typed, monkeypatch, caplog):
    monkeypatch.setenv(CACHE, "mine.py/cache")
    code, _, err = typed(f"effects {bank} --count 4 {MODELS}")
    assert code == 0, err
    assert "LATDIR_CACHE names another, or is off" in caplog.text


def test_the_folder_is_that_of_the_variable_or_of_the_system(monkeypatch, tmp_path: Path):
    monkeypatch.setenv(CACHE, str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv(CACHE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "x"))
    monkeypatch.setattr("sys.platform", "linux")
    assert cache_folder() == tmp_path / "x" / "latdir"
    monkeypatch.setattr("sys.platform", "darwin")
    assert str(cache_folder()).endswith("Library/Caches/latdir")
    monkeypatch.setattr("sys.platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    assert cache_folder() == tmp_path / "local" / "latdir"


def test_interrupted_discovery_says_that_nothing_was_written(typed, beside):
    beside(
        STOPPING
        + """
class Clip:
    pass
"""
    )
    import mine

    made = mine.generator

    def stopped():
        toy = made()

        def stop(*_, **__):
            raise KeyboardInterrupt

        toy.sample = stop
        return toy

    mine.generator = stopped
    code, _, err = typed("discover pca --generator mine:generator --space z --out p.safetensors")
    assert code == 130
    assert "interrupted; nothing was written: the same command starts from the beginning" in err
