"""Progress bars with and without tqdm."""

import sys

from tqdm.auto import tqdm as real

from directions.progress import tqdm


def test_a_bar_is_tqdms_own():
    with tqdm(total=3, desc="codes", leave=False, delay=1) as bar:
        assert isinstance(bar, real)
        bar.update(2)
        assert bar.n == 2
    assert list(tqdm("abc", leave=False, delay=1)) == ["a", "b", "c"]


def test_without_tqdm_or_disabled_there_is_none(monkeypatch):
    hidden = type(tqdm(disable=True))
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    for bar in (tqdm(range(3), desc="codes"), tqdm(range(3), disable=True)):
        assert isinstance(bar, hidden)
        assert list(bar) == [0, 1, 2]
    with tqdm(total=3) as bar:
        bar.update()
        bar.set_postfix_str("0.1", refresh=False)
