"""The notebook's widget, without a notebook."""

import threading

import pytest

import latdir
from directions import BankError
from directions.planted.world import planted

pytest.importorskip("anywidget", reason="the extra latdir[explore] is not installed")


@pytest.fixture
def explorer(world, small_bank):
    made = latdir.explore(small_bank, world, world.classifier())
    yield made
    made.close()


def test_messages_of_the_notebook_are_answered_on_its_channel(explorer, monkeypatch):
    sent, came = [], threading.Event()
    monkeypatch.setattr(
        type(explorer.widget), "send", lambda _, *answer: (sent.append(answer), came.set())
    )
    explorer.widget._handle_custom_msg(
        {"verb": "edit", "id": 3, "amounts": {"factor_0": 1.0}, "final": True}, []
    )
    assert came.wait(10)
    header, [picture] = sent[0]
    assert (header["verb"], header["id"]) == ("picture", 3)
    assert picture[:4] == b"RIFF"
    assert explorer.session.state.amounts == {"factor_0": 1.0}


def test_a_saved_notebook_has_the_last_picture(explorer, monkeypatch):
    shown, updated = [], threading.Event()

    class Handle:
        def update(self, what):
            shown.append(what._repr_mimebundle_())
            updated.set()

    monkeypatch.setattr(type(explorer.widget), "send", lambda *_: None)
    monkeypatch.setattr("IPython.display.display", lambda *_, display_id=False: Handle())
    explorer._ipython_display_()
    explorer._receive(None, {"verb": "edit", "amounts": {"factor_0": 1.5}, "final": True}, [])
    assert updated.wait(10)
    assert shown[-1]["text/plain"] == "seed 11: factor_0 +1.5σ"
    assert "image/png" in shown[-1]


def test_the_module_and_the_styles_travel_with_the_widget(explorer):
    assert "export default" in str(explorer.widget._esm)
    assert ".latdir-explorer" in str(explorer.widget._css)


def test_a_bank_of_another_generator_is_refused(small_bank):
    with pytest.raises(BankError, match="not for planted"):
        latdir.explore(small_bank, planted(factors=3, dim=8, seed=5))
