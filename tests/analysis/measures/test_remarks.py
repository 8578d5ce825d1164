import torch

from analysis import calibration_curves, effects_of, remarks_on
from analysis.edits.nulls import RandomNull
from directions.classifiers.base import Attribute
from tests.analysis.measured import curves

NAMES = ("smiling", "age", "yaw")


def effects(moves, *, targets=None, n=200, noise=0.05, attributes=NAMES, seed=0):
    """Effects of directions that move standard normal attributes by these amounts a sigma."""
    rng = torch.Generator().manual_seed(seed)
    start = torch.randn(n, len(attributes), generator=rng)
    start = (start - start.mean(0)) / start.std(0)
    moves = torch.tensor(moves)
    each = moves[:, None] + noise * torch.randn(len(moves), n, len(attributes), generator=rng)
    scores = torch.stack([start.expand_as(each), start + each], 1)
    names = tuple(targets or {}) or tuple(f"pc{k}" for k in range(len(moves)))
    found = curves(scores, (0, 1), attributes=attributes, directions=names, targets=targets)
    return effects_of(found, step=1.0)


def said(effects, **settings):
    return [r.text for r in remarks_on(effects, **settings) if r.direction]


def test_a_clean_direction_gets_no_remark():
    assert said(effects([[1.0, 0.1, 0.0]], targets={"smiling": "smiling"})) == []


def test_leaks_are_named_by_size_with_what_to_do():
    texts = said(effects([[0.5, -0.6, 0.3]], targets={"smiling": "smiling"}))
    assert texts == [
        "moves age (−0.60) at least about as much and yaw (+0.30) more than half as much as "
        "smiling (+0.50): if they should stay, condition on age and yaw."
    ]
    texts = said(effects([[0.5, 0.3, 0.0]], targets={"smiling": "smiling"}))
    assert texts == [
        "moves age (+0.30) more than half as much as smiling (+0.50): "
        "if it should stay, condition on age."
    ]


def test_a_direction_that_does_nothing_or_goes_backwards_is_called_out():
    idle = effects([[0.0, 0.0, 0.0]], targets={"smiling": "smiling"}, noise=0.3)
    assert said(idle)[0].startswith("does not measurably move smiling (")
    back = effects([[-0.8, 0.0, 0.0]], targets={"smiling": "smiling"})
    assert said(back) == ["decreases smiling (−0.80): negate the direction."]


def test_an_effect_within_the_null_does_not_count():
    own = effects([[0.5, 0.0, 0.0]], targets={"smiling": "smiling"})
    wide = effects((torch.randn(20, 3, generator=torch.Generator().manual_seed(1))).tolist())
    assert said(own) == []
    assert said(own, null=RandomNull(wide, 0.95, "sphere")) == [
        "does not measurably move smiling (+0.50)."
    ]


def test_a_rise_on_too_few_images_is_reported():
    own = effects([[0.5, 0.0, 0.0]], targets={"smiling": "smiling"}, noise=0.8)
    texts = said(own)
    share = own.at("smiling", "smiling").rises
    assert 0.6 < share < 0.9
    assert texts == [f"raises smiling on only {share:.0%} of held-out images at +1 sigma."]


def test_directions_without_a_name_are_told_by_what_they_move():
    assert said(effects([[0.1, -0.9, 0.4]])) == [
        "moves age (−0.90), yaw (+0.40), smiling (+0.10) most, in standard deviations per sigma."
    ]
    assert said(effects([[0.0, 0.0, 0.0]], noise=0.0)) == ["moves nothing that was measured."]


def test_a_short_linear_range_is_reported():
    start = torch.linspace(-1, 1, 30)
    scores = torch.stack([start + min(a, 0.25) for a in (-1.0, -0.5, 0.0, 0.5, 1.0)])
    found = curves(
        scores[None, :, :, None], (-1, -0.5, 0, 0.5, 1), attributes=["yaw"], targets={"d0": "yaw"}
    )
    texts = said(effects_of(found, step=1.0), calibrations=calibration_curves(found))
    assert any(t.startswith("moves yaw linearly only from") and "(yaw)" in t for t in texts)


def test_the_whole_measurement_is_judged_too():
    few = effects([[1.0, 0.0, 0.0]] * 8, n=20, noise=0.0)
    scores = few.curves.scores.clone()
    scores[..., 2] = 0.25
    scores[..., 1] = 0.001 * torch.rand(scores.shape[:3])
    attributes = (Attribute("smiling"), Attribute("age", "probability"), Attribute("yaw"))
    flat = effects_of(curves(scores, (0, 1), attributes=attributes), step=1.0)
    texts = [r.text for r in remarks_on(flat) if not r.direction]
    assert texts == [
        "Constant over the codes, so not measurable: yaw.",
        "Only 20 codes were measured: intervals are wide and their ends rough; "
        "512 is a good number.",
        "No null was measured: random directions may achieve as much.",
        "Within 1 % of 0 or 1 for more than half of the codes: age. "
        "Read these effects on the scale of log-odds.",
    ]
    target = effects_of(
        curves(scores[:1], (0, 1), attributes=attributes, targets={"d0": "yaw"}), step=1.0
    )
    assert said(target) == ["cannot be judged: yaw is the same for every code."]
    many = effects([[1.0, 0.0, 0.0]] * 8)
    assert "Of 24 intervals at 95%, about 1 leave out the true value by chance." in [
        r.text for r in remarks_on(many)
    ]
