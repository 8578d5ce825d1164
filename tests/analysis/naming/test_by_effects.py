import dataclasses

import pytest
import torch
from scipy import stats

from analysis import measure_effects, random_directions
from analysis.edits.nulls import RandomNull
from analysis.naming.by_effects import name_directions
from directions import Direction, DirectionBank, LatdirError, Rendering
from directions.classifiers import Attribute
from directions.planted.world import planted
from directions.seeds import NAMING_SEED
from tests.analysis.measured import Altered, bank_of, true_bank
from tests.worlds import Mapped, world


def named(generator, bank, *, classifier=None, **settings):
    settings = {"count": 48, "null": 40} | settings
    return name_directions(generator, classifier or generator.classifier(), bank, **settings)


def hidden(bank):
    """The bank without its names."""
    return bank.replaced(d.evolve(name=f"pc{i}") for i, d in enumerate(bank.directions))


@pytest.mark.parametrize("name", ["linear", "curved", "anisotropic"])
def test_planted_directions_get_their_names_and_random_ones_none(name):
    generator = world(name, dim=64)
    bank = hidden(true_bank(generator)).merge(random_directions(generator, n_directions=40, seed=7))
    found = named(generator, bank)
    known = {e.found_as: e.attribute for e in found.entries if e.attribute}
    assert known == {f"pc{i}": n for i, n in enumerate(generator.names)}
    assert set(found.found) == set(generator.names)
    assert list(found.bank)[4:] == [f"unknown.{i}" for i in range(1, 41)]
    for entry in found.entries[:4]:
        assert entry.q < 1e-3
        assert entry.p <= entry.q
    assert all(e.q > 0.01 for e in found.entries[4:])


def test_plus_raises_the_attribute_whichever_way_it_was_found():
    generator = world(dim=64)
    bank = hidden(true_bank(generator))
    turned = bank.replaced(-d if i % 2 else d for i, d in enumerate(bank.directions))
    found = named(generator, turned)
    for entry in found.entries:
        assert entry.flipped == (entry.found_as in ("pc1", "pc3"))
        assert entry.effect > 0
        assert entry.profile[entry.attribute] == pytest.approx(entry.effect)
    # Measured afresh, on other codes, by the names themselves.
    after = measure_effects(generator, generator.classifier(), found.bank, count=16)
    for name in generator.names:
        assert after.at(name, name).standardized > 0.8
    truth = dict(zip(generator.names, generator.truth, strict=True))
    for direction in found.bank.directions:
        torch.testing.assert_close(direction.vector, truth[direction.name])


def test_t_and_p_are_those_of_the_definition():
    generator = world("entangled", dim=48)
    bank = hidden(true_bank(generator))
    found = named(generator, bank, null=30)
    settings = {"count": 48, "symmetric": True, "seed": NAMING_SEED}
    classifier = generator.classifier()
    null = measure_effects(
        generator,
        classifier,
        random_directions(generator, n_directions=30, spread="prior"),
        **settings,
    ).mean
    own = measure_effects(generator, classifier, bank, **settings).mean
    t = own / null.square().mean(0).sqrt()
    torch.testing.assert_close(found.t, t, atol=1e-3, rtol=1e-3)
    p = 2 * stats.t.sf(t.abs().numpy().astype(float), 30)
    # Benjamini and Hochberg by hand: the smallest p·m/rank among those not smaller.
    flat = sorted(p.flatten())
    by_hand = {v: min(w * 16 / (r + 1) for r, w in enumerate(flat) if w >= v) for v in flat}
    q = torch.tensor([[by_hand[v] for v in row] for row in p])
    torch.testing.assert_close(found.q.double(), q, atol=1e-6, rtol=1e-2)


def test_a_null_measured_before_gives_the_same_names():
    generator = world("entangled", dim=48)
    bank, classifier = hidden(true_bank(generator)), generator.classifier()
    settings = {"count": 16, "symmetric": True}
    chance = random_directions(generator, n_directions=30, spread="prior")

    def chance_of(bank=chance, **changes):
        given = {"seed": NAMING_SEED, **settings, **changes}
        return RandomNull(measure_effects(generator, classifier, bank, **given), 0.95, "prior")

    alone = named(generator, bank, count=16, null=30)
    shared = named(generator, bank, count=16, null=chance_of())
    assert shared.entries == alone.entries
    batched = chance_of(rendering=Rendering(batch_size=7))
    assert named(generator, bank, count=16, null=batched).found == alone.found
    with pytest.raises(LatdirError, match=r"on 16 codes of seed 1 in float32 for factor_0"):
        named(generator, bank, count=16, null=chance_of(seed=1))
    with pytest.raises(LatdirError, match=r"measured with step 1\.0 and the effects with 2\.0"):
        named(generator, bank, count=16, null=chance_of(step=1.0))
    other = Mapped(generator)
    inner = bank.replaced(d.evolve(space="w") for d in bank.directions)
    banks = inner.transfer(other).merge(bank.transfer(other), prefix="z/")
    measured = measure_effects(other, classifier, banks, seed=NAMING_SEED, **settings)
    with pytest.raises(LatdirError, match=r"space w, z, the bank of w \(layers None\), z \(lay"):
        named(
            other, banks, classifier=classifier, count=16, null=RandomNull(measured, 0.95, "prior")
        )


def test_random_directions_are_named_no_more_often_than_promised():
    generator = world(dim=64)
    wrong = [
        len(named(generator, random_directions(generator, n_directions=30, seed=s), alpha=0.05,
                  count=8).found) > 0
        for s in range(20)
    ]  # fmt: skip
    # Under the null alone, the false discovery rate is the chance of any name at all.
    assert sum(wrong) <= 4


def test_duplicates_are_merged_by_angle_and_by_effect_and_the_best_is_kept():
    generator = world(dim=64)
    prior = generator.prior()
    rng = torch.Generator().manual_seed(0)
    t, noise = generator.truth, torch.randn(4, 64, generator=rng) / 8
    bank = bank_of(
        generator,
        rough=t[0] + 1.1 * noise[0],
        exact=-t[0],
        near=t[0] + 0.2 * noise[1],
        other=t[1],
        idle=noise[2],
        idle_twin=noise[2] + 0.2 * noise[3],
        opposite_idle=-noise[2],
    )
    assert prior.sigma(t[0]) == pytest.approx(1)
    found = named(generator, bank)
    best = next(e for e in found.entries if e.attribute == "factor_0")
    # `rough` is 48° off: no near-line, but one attribute and one profile.
    assert best.found_as == "exact"
    assert set(best.duplicates) == {"near", "rough"}
    idle = next(e for e in found.entries if e.attribute is None)
    assert {idle.found_as, *idle.duplicates} == {"idle", "idle_twin", "opposite_idle"}
    assert sorted(found.bank) == ["factor_0", "factor_1", "unknown.1"]


def test_one_attribute_by_two_unlike_directions_keeps_both():
    generator = world("linear", dim=64)
    base = generator.classifier()

    # An attribute that two orthogonal directions move alike.
    both = Altered(base, lambda s: s[:, :1] + s[:, 1:2], (Attribute("sum"),))
    bank = bank_of(generator, first=generator.truth[0], second=generator.truth[1])
    found = named(generator, bank, classifier=both)
    assert list(found.bank) == ["sum", "sum.2"]
    assert all(e.duplicates == () for e in found.entries)


def test_spaces_have_their_own_nulls_and_no_angles_between_them():
    generator = Mapped(world(dim=48))
    classifier = generator.classifier()
    w = torch.linalg.solve(generator._matrix.T, generator.truth[0])
    in_w = Direction.from_vector("w", w, space="w", sigma=generator.prior("w").sigma(w / w.norm()))
    bank = hidden(true_bank(generator))
    found = named(generator, bank.merge(bank.replaced([in_w])), classifier=classifier)
    entry = next(e for e in found.entries if e.attribute == "factor_0")
    assert {entry.found_as, *entry.duplicates} == {"pc0", "w"}
    assert len(found.entries) == 4


def test_ranked_by_effect_per_leakage():
    generator = world("linear", dim=64)
    t = generator.truth
    bank = bank_of(generator, mixed=t[0] + 0.6 * t[1], pure=t[2], some=t[3] + 0.2 * t[1])
    found = named(generator, bank)
    assert [e.found_as for e in found.entries] == ["pure", "some", "mixed"]
    mixed = found.entries[2]
    assert mixed.also == ("factor_1",)
    # Standard deviations are those of 48 codes: within a tenth of the prior's.
    assert mixed.ratio == pytest.approx(3 / 0.6, rel=0.3)
    assert found.entries[0].ratio == pytest.approx(100)


def test_saturated_probabilities_are_named_on_their_log_odds():
    generator = world(dim=64)
    steep = generator.classifier(kind="probability", steepness=9.0)
    found = named(generator, hidden(true_bank(generator)), classifier=steep)
    assert len(found.found) == 4
    assert found.effects.curves.scale == "logit"


def test_constant_attributes_are_left_out_and_all_constant_refused():
    generator = world(dim=64)
    base = generator.classifier()
    extra = (*base.attributes, Attribute("constant"))
    some = Altered(base, lambda s: torch.cat([s, s[:, :1] * 0 + 3], 1), extra)
    found = named(generator, hidden(true_bank(generator)), classifier=some)
    assert len(found.found) == 4
    assert found.t[:, 4].isnan().all()
    assert all("constant" not in e.profile for e in found.entries)
    with pytest.raises(LatdirError, match=r"none of factor_0, .* varies over the held-out codes"):
        named(generator, true_bank(generator), classifier=Altered(base, lambda s: s * 0 + 1))


def test_a_space_too_small_to_tell_from_chance_names_nothing():
    # In 3 dimensions every random direction has a large share of every other.
    generator = planted(factors=2, dim=3, nuisances=1)
    found = named(generator, hidden(true_bank(generator)), alpha=0.01)
    assert found.found == ()
    assert found.t.abs().max() < 3


def test_the_bank_keeps_what_was_learned(tmp_path):
    generator = world(dim=64)
    bank = hidden(true_bank(generator))
    found = named(generator, bank)
    path = found.bank.save(tmp_path / "named.safetensors")
    again = DirectionBank.load(path, generator)
    note = again["factor_2"].evidence["naming"]
    assert note["found_as"] == "pc2"
    assert note["attribute"] == "factor_2"
    assert note["profile"]["factor_2"] == pytest.approx(note["effect"])
    table = found.as_dict()
    assert [d["name"] for d in table["directions"]] == list(found.bank)
    assert table["alpha"] == 0.01
    assert (table["null"], note["null"]) == ("prior", "prior")
    assert dataclasses.asdict(found.entries[0])["t"] == table["directions"][0]["t"]


def test_two_runs_agree_to_the_bit():
    generator = world(dim=48)
    bank = hidden(true_bank(generator))
    a, b = (named(generator, bank) for _ in range(2))
    assert a.as_dict() == b.as_dict()


def test_refusals():
    generator = world()
    with pytest.raises(LatdirError, match=r"alpha 1.5 must be in \(0, 1\)"):
        named(generator, true_bank(generator), alpha=1.5)
    with pytest.raises(LatdirError, match="the bank is empty"):
        named(generator, true_bank(generator).replaced([]))
    with pytest.raises(LatdirError, match="a null of 2 random directions is too few"):
        named(generator, true_bank(generator), null=2)
