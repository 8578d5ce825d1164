import errno
import filecmp
import functools
import json
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from directions import LatdirError, Rendering
from directions.classifiers import Attribute, Classifier
from directions.planted.world import planted
from directions.space import LowRankPrior
from discovery.estimators.cones import angles
from discovery.estimators.linear import ridge
from discovery.sampling import shard_format
from discovery.sampling import store as shards
from discovery.sampling.sampler import Auto, Interrupted, sample
from discovery.sampling.samples import Samples
from discovery.sampling.shard_format import ROWS
from tests.unchecked import unchecked
from tests.worlds import Mapped, Noisy, labeled, untyped, world

WORLD = world("everything")
NOISY = Noisy(WORLD.classifier(), noise=0.5)
PINNED = {"batch_size": 64, "precision": "float32", "compile": False, "progress": False}


def run(count, *, generator=WORLD, classifier=NOISY, seed=1, **options):
    pinned = {name: options.pop(name, value) for name, value in PINNED.items()}
    rendering = Rendering(truncation=options.pop("truncation", 1.0), **pinned)
    return sample(generator, classifier, count, seed=seed, rendering=rendering, **options)


def same(a, b):
    return torch.equal(a.codes, b.codes) and torch.equal(a.scores, b.scores)


def same_files(a, b):
    names = sorted(p.name for p in a.iterdir() if p.name != ".lock")
    assert names == sorted(p.name for p in b.iterdir() if p.name != ".lock")
    return all(filecmp.cmp(a / name, b / name, shallow=False) for name in names)


class Fails(Classifier):
    """Interrupts the run at one call, as a person at the keyboard would."""

    def __init__(self, classifier, *, at, error=KeyboardInterrupt):
        self.classifier, self.calls, self.at, self.error = classifier, 0, at, error
        self.name, self.attributes = classifier.name, classifier.attributes

    @property
    def fingerprint(self):
        return self.classifier.fingerprint

    def __call__(self, images):
        self.calls += 1
        if self.calls == self.at:
            raise self.error
        return self.classifier(images)


def test_scores_are_those_of_the_plain_loop():
    samples = run(700)
    plain = labeled(WORLD, NOISY, 700, seed=1)
    assert torch.equal(samples.codes, plain.codes)
    torch.testing.assert_close(samples.scores, plain.scores, atol=1e-5, rtol=0)
    assert samples.names == plain.names
    assert (samples.fingerprint, samples.space) == (WORLD.fingerprint, "z")


@functools.cache
def long_run(batch):
    return run(1800, batch_size=batch)


@settings(deadline=None, max_examples=12)
@given(
    start=st.integers(0, 1500),
    n=st.integers(1, 300),
    batch=st.sampled_from([19, 64]),
)
def test_bits_do_not_depend_on_where_a_run_starts_or_ends(start, n, batch):
    whole = long_run(batch)
    part = run(n, start=start, batch_size=batch)
    assert torch.equal(part.codes, whole.codes[start : start + n])
    assert torch.equal(part.scores, whole.scores[start : start + n])
    assert part.start == start


def test_a_folder_holds_what_memory_does_and_others_can_read_it(tmp_path):
    stored, inside = run(2500, out=tmp_path / "new" / "folder"), run(2500)
    assert same(stored, inside)
    assert same(Samples.load(tmp_path / "new" / "folder"), inside)
    table = pq.read_table(tmp_path / "new" / "folder" / "samples-00001024-00002047.parquet")
    assert table.column_names[:3] == ["index", "code", "score.factor_0"]
    assert table["index"].to_pylist() == list(range(1024, 2048))
    assert table["code"][5].as_py() == inside.codes[1029].tolist()
    assert table["score.factor_0"][5].as_py() == inside.scores[1029, 0].item()


def test_space_truncation_and_attributes_are_as_asked(tmp_path):
    generator = Mapped(WORLD)
    classifier = generator.classifier()
    options = {"space": "w", "truncation": 0.5, "attributes": ["factor_2", "factor_0"]}
    samples = run(300, generator=generator, classifier=classifier, seed=2, out=tmp_path, **options)
    expected = generator.sample(300, seed=2, space="w", truncation=0.5)
    assert torch.equal(samples.codes, expected)
    assert samples.names == ("factor_2", "factor_0")
    factors = generator.factors(generator.map(expected, "w", "z"))
    torch.testing.assert_close(samples.scores, factors[:, [2, 0]], atol=1e-4, rtol=0)


def test_several_classifiers_stand_side_by_side():
    other = planted(dim=32, names=["a", "b", "c", "d"], seed=9).classifier()
    samples = run(10, classifier=[NOISY, other])
    assert samples.names == (*NOISY.names, "a", "b", "c", "d")
    assert samples.classifier == "noisy-planted+planted"


@pytest.mark.parametrize("at", [1, 3, 17, 20, 40])
def test_an_interrupted_run_goes_on_and_ends_the_same(tmp_path, at):
    with pytest.raises(KeyboardInterrupt):
        run(2700, classifier=Fails(NOISY, at=at), out=tmp_path / "a")
    run(2700, out=tmp_path / "a")
    run(2700, out=tmp_path / "b")
    assert same_files(tmp_path / "a", tmp_path / "b")


def test_work_done_is_not_done_again(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(3000, classifier=Fails(NOISY, at=40), out=tmp_path)
    counting = Fails(NOISY, at=0)
    run(3000, classifier=counting, out=tmp_path)
    assert counting.calls == 47 - 39  # tiles of the interrupted shard are kept too
    again = Fails(NOISY, at=1)
    run(3000, classifier=again, out=tmp_path)
    run(1000, classifier=again, out=tmp_path)
    assert again.calls == 0


@pytest.mark.parametrize("write", range(6))
def test_a_crash_at_any_write_is_mended(tmp_path, monkeypatch, write):
    count = 0

    def crashing(*paths):
        nonlocal count
        count += 1
        if count > write:
            raise KeyboardInterrupt
        return replace(*paths)

    # A killed process cannot tidy up either: what it wrote stays under its temporary name.
    replace = shards.Path.replace
    with monkeypatch.context() as patch:
        patch.setattr(shards.Path, "replace", crashing)
        patch.setattr(shards.Path, "unlink", lambda *a, **k: None)
        with pytest.raises(KeyboardInterrupt):
            run(2500, out=tmp_path / "a")
    run(2500, out=tmp_path / "a")
    run(2500, out=tmp_path / "b")
    assert same_files(tmp_path / "a", tmp_path / "b")


@pytest.mark.parametrize("first", [1, 63, 64, 100, 1024, 1500])
def test_a_larger_n_goes_on(tmp_path, first):
    run(first, out=tmp_path / "a")
    counting = Fails(NOISY, at=0)
    grown = run(2000, classifier=counting, out=tmp_path / "a")
    run(2000, out=tmp_path / "b")
    assert same(grown, run(2000))
    assert same_files(tmp_path / "a", tmp_path / "b")
    assert counting.calls == 32 - first // 64


def test_a_smaller_n_takes_the_first_and_keeps_the_rest(tmp_path):
    whole = run(2000, out=tmp_path)
    fewer = run(700, out=tmp_path)
    assert torch.equal(fewer.scores, whole.scores[:700])
    assert same(Samples.load(tmp_path), whole)


def test_a_smaller_n_leaves_an_unfinished_run_unfinished(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(3000, classifier=Fails(NOISY, at=20), out=tmp_path)
    run(500, out=tmp_path)
    with pytest.raises(LatdirError, match="holds the first 1216 of 3000 samples"):
        Samples.load(tmp_path)


def other_classifier():
    return Noisy(WORLD.classifier(), noise=0.6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"generator": world("everything", seed=5)}, "of another generator: planted ("),
        ({"classifier": other_classifier()}, "of another classifier: noisy-planted ("),
        ({"attributes": ["factor_1"]}, "of another attributes: factor_0, factor_1"),
        ({"seed": 2}, "of another seed: 1 there, 2 requested; give another folder"),
        ({"start": 64}, "of another start: 0 there, 64 requested"),
        ({"truncation": 0.7}, "of another truncation: 1.0 there, 0.7 requested"),
        ({"batch_size": 32}, "was begun with batch_size 64, which its scores' bits depend on"),
        ({"precision": "bfloat16"}, "was begun with precision 'float32'"),
        ({"compile": True}, "was begun with compile False"),
    ],
)
def test_a_folder_refuses_to_mix(tmp_path, changes, message):
    run(100, out=tmp_path)
    before = (tmp_path / "_manifest.json").read_bytes()
    with pytest.raises(LatdirError) as caught:
        run(200, out=tmp_path, **changes)
    assert message in str(caught.value)
    assert (tmp_path / "_manifest.json").read_bytes() == before


def test_settings_of_a_begun_folder_are_taken_over(tmp_path):
    run(100, out=tmp_path, batch_size=48)
    samples = run(300, out=tmp_path, batch_size=None, precision=None, compile=None)
    assert same(samples, run(300, batch_size=48))


@pytest.mark.parametrize("damage", ["truncated", "flipped", "emptied"])
def test_a_broken_shard_is_named_and_only_it_is_mended(tmp_path, damage):
    whole = run(3000, out=tmp_path)
    shard = tmp_path / "samples-00001024-00002047.parquet"
    data = shard.read_bytes()
    broken = {
        "truncated": data[:-100],
        "flipped": data[:500] + bytes([data[500] ^ 1]) + data[501:],
        "emptied": b"",
    }[damage]
    shard.write_bytes(broken)
    for action in (lambda: Samples.load(tmp_path), lambda: run(3000, out=tmp_path)):
        with pytest.raises(LatdirError) as caught:
            action()
        assert f"{shard} is corrupt or truncated" in str(caught.value)
        assert "delete that file and run the same sample command again" in str(caught.value)
    shard.unlink()
    with pytest.raises(LatdirError, match="holds the first 1024 of 3000 samples: run the same"):
        Samples.load(tmp_path)
    assert len(Samples.load(tmp_path, partial=True)) == 1024
    counting = Fails(NOISY, at=0)
    assert same(run(3000, classifier=counting, out=tmp_path), whole)
    assert counting.calls == ROWS // 64
    assert shard.read_bytes() == data


def test_a_shard_of_other_columns_is_refused(tmp_path):
    run(100, out=tmp_path)
    manifest = tmp_path / "_manifest.json"
    manifest.write_text(manifest.read_text().replace('"factor_0"', '"smiling"'))
    with pytest.raises(LatdirError, match="is not a shard of this manifest"):
        Samples.load(tmp_path)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda m: m[:200], "cannot be read"),
        (lambda m: "[]", "cannot be read"),
        (lambda m: m.replace('"version": 1', '"version": 7'), "format version 7; this release"),
        (lambda m: m.replace('"seed": 1', '"seed": "one"'), "is broken: seed: "),
        (lambda m: m.replace("samples-0", "../samples-0"), r"is broken: shards.0.file: "),
        (lambda m: m.replace('"rows": 100', '"rows": 99999999'), r"is broken: shards.0.rows: "),
        (lambda m: m.replace('"notes"', '"surprise"'), "is broken: surprise: "),
    ],
)
def test_a_broken_manifest_is_refused(tmp_path, edit, message):
    run(100, out=tmp_path)
    manifest = tmp_path / "_manifest.json"
    manifest.write_text(edit(manifest.read_text()))
    for action in (lambda: Samples.load(tmp_path), lambda: run(100, out=tmp_path)):
        with pytest.raises(LatdirError, match=message) as caught:
            action()
        assert str(manifest) in str(caught.value)


def test_folders_without_a_manifest_are_refused(tmp_path):
    with pytest.raises(LatdirError, match=r"is not a folder of samples: it has no _manifest.json"):
        Samples.load(tmp_path / "nothing")
    run(100, out=tmp_path)
    (tmp_path / "_manifest.json").unlink()
    with pytest.raises(LatdirError, match="has shards but no _manifest"):
        run(100, out=tmp_path)
    assert len(list(tmp_path.glob("*.parquet"))) == 1


def test_one_writer_at_a_time(tmp_path):
    pytest.importorskip("fcntl", reason="folders are locked with fcntl")
    run(100, out=tmp_path)
    header = shard_format.read_header(tmp_path)
    with (
        shards.opened(tmp_path, header),
        pytest.raises(LatdirError, match="another run is writing to"),
    ):
        run(200, out=tmp_path)
    assert len(run(200, out=tmp_path)) == 200


def test_a_full_disk_says_so_and_loses_nothing(tmp_path, monkeypatch):
    writes = 0

    def full(path, data):
        nonlocal writes
        writes += "samples-" in path.name
        if writes >= 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write_bytes(path, data)

    write_bytes = Path.write_bytes
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(LatdirError, match=r"the disk is full: .*samples-00001024-00002047"):
            run(2500, out=tmp_path / "a")
    assert sorted(p.suffix for p in (tmp_path / "a").iterdir()) == [
        "",
        ".json",
        ".parquet",
        ".safetensors",
    ]
    run(2500, out=tmp_path / "a")
    run(2500, out=tmp_path / "b")
    assert same_files(tmp_path / "a", tmp_path / "b")


def test_saved_samples_come_back_and_can_grow(tmp_path):
    samples = run(1500)
    samples.save(tmp_path)
    assert same(Samples.load(tmp_path), samples)
    assert same(run(2000, out=tmp_path), run(2000))
    with pytest.raises(LatdirError, match="holds samples already: choose another folder"):
        samples.save(tmp_path)


class Says(Classifier):
    """Answers what it was told to."""

    name = "oracle"
    attributes = (Attribute("truth"),)
    fingerprint = "0" * 64

    def __init__(self, answer):
        self.answer = answer

    def __call__(self, images):
        return self.answer(images)


class Shows(type(WORLD)):
    """A planted generator whose images go through a function."""

    def __init__(self, function):
        self.__dict__.update(vars(WORLD))
        self.function = function

    def synthesize(self, codes, space="z"):
        return self.function(super().synthesize(codes, space))


def nan_at_row_70(images):
    scores = images.flatten(1)[:, :1].clone()
    if len(nan_at_row_70.seen) == 1:
        scores[6] = torch.nan
    nan_at_row_70.seen.append(len(images))
    return scores


def test_scores_that_are_not_finite_are_named():
    nan_at_row_70.seen = []
    message = (
        r"1 of 100 scores of 'truth' are NaN or infinite \(nan in code 70 of seed 1\): "
        r"fix the classifier oracle, or leave that attribute out"
    )
    with pytest.raises(LatdirError, match=message):
        run(100, classifier=Says(nan_at_row_70))


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: x.flatten(1), r"planted does not make images: 64 codes gave a tensor of shape"),
        (lambda x: x * torch.nan, "gave NaN or infinite pixels"),
        (lambda x: x[:5], r"shape \[5, 3, 16, 16\], where \[64, 3, H, W\] is wanted"),
    ],
)
def test_images_that_are_none_are_refused(tmp_path, function, message):
    with pytest.raises(LatdirError, match=message):
        run(100, generator=Shows(function), out=tmp_path)


def test_scores_of_another_shape_are_refused():
    classifier = Says(None)
    classifier.inference = lambda **_: lambda images: images.flatten(1)[:, :2]
    with pytest.raises(LatdirError, match=r"oracle gave scores of shape \[64, 2\], not \[64, 1\]"):
        run(100, classifier=classifier)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"attributes": ["wings"]}, "has no attribute 'wings': it has factor_0"),
        ({"attributes": []}, "name at least one attribute: there are factor_0"),
        ({"attributes": "wings"}, "has no attribute 'wings'"),
        ({"attributes": ["factor_0", "factor_0"]}, "attributes has 'factor_0' twice"),
        ({"space": "w"}, "planted has no space 'w': it has z"),
        ({"seed": -1}, "seed -1 must be in"),
        ({"start": -5}, "start -5 must not be negative"),
        ({"batch_size": 0}, "batch_size 0 must be at least 1"),
        ({"sheets": 3}, "contact sheets need a folder: give out="),
        ({"count": 0}, r"count 0 must be at least 1, or Auto\(…\)"),
    ],
)
def test_bad_requests_get_one_line(options, message):
    with pytest.raises(LatdirError, match=message):
        run(**{"count": 10, **options})


@pytest.mark.parametrize("options", [{"cone": 0.0}, {"max_samples": 0}])
def test_auto_takes_positive_numbers(options):
    with pytest.raises(LatdirError, match="must be positive"):
        Auto(**options)


def test_samples_know_how_they_were_computed(tmp_path):
    samples = run(100, out=tmp_path, truncation=0.7)
    assert samples.rendering == Rendering(0.7, "float32", 64, False, progress=False)
    loaded = Samples.load(tmp_path)
    assert loaded.rendering == Rendering(0.7, "float32", 64, False)
    loaded.rows(slice(50)).save(tmp_path / "copy")
    assert Samples.load(tmp_path / "copy").rendering == loaded.rendering


def test_auto_stops_when_every_cone_is_narrow(tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        samples = run(Auto(cone=3.0, max_samples=30_000), out=tmp_path)
    told = samples.notes["auto"]
    assert told["reached"]
    assert told["rounds"][-1]["n"] == len(samples)
    assert max(told["rounds"][-1]["cones"].values()) <= 3.0
    assert max(told["rounds"][-2]["cones"].values()) > 3.0
    assert f"took {len(samples)} samples: every cone is within 3°" in caplog.text
    # The cone is honest: the fit on these samples is that close to the truth.
    weights = ridge(samples.codes, samples.scores.T, penalty=0.0).weights
    assert (angles(weights[None], WORLD.truth) <= 1.5 * 3.0).all()
    assert Samples.load(tmp_path).notes == samples.notes
    assert json.loads((tmp_path / "_manifest.json").read_text())["wanted"] == len(samples)


def test_auto_ends_with_its_budget_and_says_so(caplog):
    with caplog.at_level(logging.INFO):
        samples = run(Auto(cone=0.1, max_samples=2500))
    assert len(samples) == 2500
    assert not samples.notes["auto"]["reached"]
    assert "took 2500 samples: every cone is still not within 0.1°" in caplog.text


def test_auto_interrupted_ends_the_same(tmp_path):
    options = {"count": Auto(cone=3.5, max_samples=9000)}
    with pytest.raises(KeyboardInterrupt):
        run(classifier=Fails(NOISY, at=30), out=tmp_path / "a", **options)
    run(out=tmp_path / "a", **options)
    run(out=tmp_path / "b", **options)
    assert same_files(tmp_path / "a", tmp_path / "b")


def test_auto_knows_that_a_constant_attribute_has_no_direction():
    samples = run(
        Auto(max_samples=1024),
        classifier=Says(lambda images: torch.ones(len(images), 1)),
    )
    assert samples.notes["auto"]["rounds"] == [{"n": 1024, "cones": {"truth": 180.0}}]


def test_contact_sheets_show_the_first_images(tmp_path):
    run(100, out=tmp_path, sheets=70)
    sheets = sorted(p.name for p in (tmp_path / "_sheets").iterdir())
    assert sheets == ["00000000-00000063.png", "00000064-00000069.png"]


def test_a_saved_part_is_continued_in_its_place_and_a_selection_never(tmp_path):
    whole = run(400)
    middle = whole.rows(slice(100, 200))
    assert (middle.start, middle.index, middle.rows([3, 4]).start) == (100, None, 103)
    middle.save(tmp_path / "part")
    with pytest.raises(LatdirError, match="holds samples of another start: 100 there, 0 requested"):
        run(300, out=tmp_path / "part")
    grown = run(300, start=100, out=tmp_path / "part")
    assert torch.equal(grown.codes, whole.codes[100:])
    assert len(grown.codes.unique(dim=0)) == 300

    chosen = torch.randperm(400, generator=torch.Generator().manual_seed(0))[:150]
    shuffled = whole.rows(chosen)
    shuffled.save(tmp_path / "shuffled")
    loaded = Samples.load(tmp_path / "shuffled")
    assert same(loaded, shuffled)
    assert torch.equal(loaded.places, chosen)
    assert loaded.stop == int(chosen.max()) + 1
    for start in (0, shuffled.start):
        with pytest.raises(LatdirError, match="holds a selection of codes, not the consecutive"):
            run(300, start=start, out=tmp_path / "shuffled")
    # Rows of a selection know their own places; a mask may restore a run.
    assert torch.equal(shuffled.rows(slice(5, 9)).places, chosen[5:9])
    assert shuffled.rows(chosen.argsort()).index is not None
    assert whole.rows(whole.places < 7).index is None


def test_samples_keep_the_prior_of_their_codes(tmp_path):
    generator = Mapped(WORLD)
    options = {"generator": generator, "classifier": generator.classifier(), "space": "w"}
    samples = run(300, truncation=0.5, out=tmp_path / "all", **options)
    expected = generator.prior("w")
    for known in (samples, Samples.load(tmp_path / "all"), samples.rows([5, 2, 9])):
        assert torch.equal(known.prior.mean, expected.mean)
        torch.testing.assert_close(known.prior.covariance, expected.covariance / 4)
        assert known.prior_source == "generator"
    unknown = replace(samples, prior=None)
    few = unknown.rows([5, 2, 9])
    assert few.prior_source == "samples"
    torch.testing.assert_close(few.prior.covariance, samples.codes.T.cov())
    few.save(tmp_path / "few")
    assert Samples.load(tmp_path / "few").prior_source == "samples"
    assert torch.equal(Samples.load(tmp_path / "few").prior.covariance, few.prior.covariance)


def test_a_low_rank_prior_is_kept_as_its_factor(tmp_path):
    prior = LowRankPrior(torch.zeros(6), torch.randn(6, 2))
    samples = untyped(torch.randn(4, 2, 3), [0, 1, 0, 1], "a", "w+", "g", "0" * 64, "c", "1" * 64,
                      seed=0, prior=prior)  # fmt: skip
    samples.save(tmp_path)
    again = Samples.load(tmp_path).prior
    assert isinstance(again, LowRankPrior)
    assert torch.equal(again.factor, prior.factor)
    (tmp_path / "_prior.safetensors").write_bytes(b"nothing")
    with pytest.raises(LatdirError, match=r"_prior.safetensors is not a readable prior file"):
        Samples.load(tmp_path)


def test_parquet_readers_take_the_folder_as_it_is(tmp_path):
    samples = run(1100, out=tmp_path, sheets=3)
    table = pq.read_table(tmp_path)
    assert table["index"].to_pylist() == list(range(1100))
    assert table["score.factor_1"].to_pylist() == samples.column("factor_1").tolist()


@pytest.mark.parametrize(
    ("codes", "scores", "attributes", "message"),
    [
        ([[0.0], [1.0]], [[1.0], [0.0], [1.0]], ["a"], "codes of shape [2, 1] and scores of shape"),
        ([[0.0], [1.0]], [1, 0], ["a", "b"], "have 1 columns, and there are 2 attributes"),
        ([[0.0], [1.0]], ["yes", "no"], "a", "scores are numbers in an array or a list, not list"),
        ("codes", [1, 0], "a", "codes are numbers in an array or a list, not str"),
        ([[0.0], [1.0]], [[1, 0], [0, 1]], ["a", "a"], "samples have attribute 'a' twice"),
        ([[0.0], [1.0]], [1, 0], [3], "attributes are names or Attribute(…), not 3"),
    ],
)
def test_samples_of_other_things_are_refused(codes, scores, attributes, message):
    with pytest.raises(LatdirError) as caught:
        untyped(codes, scores, attributes, "z", "g", "0" * 64, "c", "1" * 64, seed=0)
    assert message in str(caught.value)


def test_samples_take_arrays_lists_and_names():
    kept = ("z", "g", "0" * 64, "c", "1" * 64)
    codes, labels = np.random.default_rng(0).normal(size=(5, 3)), np.array([0, 1, 1, 0, 1])
    samples = untyped(codes, labels, "glasses", *kept, seed=0)
    assert samples.codes.dtype == samples.scores.dtype == torch.float32
    assert samples.scores.shape == (5, 1)
    assert samples.attributes == (Attribute("glasses"),)
    lists = untyped(codes.tolist(), [[a, not a] for a in labels], ["a", "b"], *kept, seed=0)
    assert lists.column("b").tolist() == (1.0 - labels).tolist()


def test_samples_are_short_in_a_notebook_and_convert_to_a_table():
    scores = torch.tensor([[0.0, 5], [1, 6], [1, 7], [0, 8]])
    found = Samples(
        torch.arange(12.0).reshape(4, 3), scores, (Attribute("glasses"), Attribute("age")),
        "z", "toy", "0" * 64, "me", "0" * 64, seed=3, start=2,
    )  # fmt: skip
    assert repr(found) == "Samples(toy: 4 codes of 'z', glasses, age)"
    assert "6.5</td>" in found._repr_html_()  # the mean age
    columns = found.rows([3, 1]).columns()
    assert columns == {"seed": [3, 3], "index": [5, 3], "glasses": [0, 1], "age": [8, 6]}
    assert list(replace(found, seed=None).columns()) == ["glasses", "age"]
    assert len(found.to_frame()) == 4


class Stopping(Classifier):
    """A classifier that somebody interrupts at one of its calls."""

    def __init__(self, classifier: Classifier, *, at: int) -> None:
        self.classifier, self.at, self.calls = classifier, at, 0
        self.name, self.attributes = classifier.name, classifier.attributes

    @property
    def fingerprint(self) -> str:
        return self.classifier.fingerprint

    def __call__(self, images: Tensor) -> Tensor:
        self.calls += 1
        if self.calls == self.at:
            raise KeyboardInterrupt
        return self.classifier(images)


@pytest.mark.parametrize("at", [1, 2, 16, 17, 20])
@pytest.mark.parametrize("stored", [True, False])
def test_an_interrupted_run_keeps_its_whole_tiles(at, stored, tmp_path) -> None:
    world = planted(factors=2, dim=6)
    whole = sample(world, world.classifier(), 1500, seed=3, start=100)
    out = tmp_path / "out" if stored else None
    with pytest.raises(Interrupted) as stop:
        sample(world, Stopping(world.classifier(), at=at), 1500, seed=3, start=100, out=out)
    # Tiles begin at multiples of 64 of the sequence; a second shard has tiles of its own.
    made = max(64 * (at - 1) - 36, 0) if at <= 18 else 1024 + 64 * (at - 19) + 28
    made = min(made, 1024) if at <= 18 else made
    message = str(stop.value)
    assert message.startswith(f"{made:,} of 1,500 samples")
    if not made:
        assert stop.value.samples is None
    else:
        assert torch.equal(stop.value.samples.scores, whole.scores[:made])
        assert torch.equal(stop.value.samples.codes, whole.codes[:made])
        assert "resumes" in message
        assert ("sys.last_value.samples" in message) != stored
    if stored:
        assert torch.equal(
            sample(world, world.classifier(), 1500, seed=3, start=100, out=out).scores,
            whole.scores,
        )


def test_the_bar_ends_at_the_number_of_samples(monkeypatch) -> None:
    seen = []

    class Bar:
        def __init__(self, **given) -> None:
            self.n = given["initial"]

        def update(self, count: int) -> None:
            self.n += count
            seen.append(self.n)

        def __enter__(self):
            return self

        def __exit__(self, *error) -> None:
            pass

    monkeypatch.setattr("discovery.sampling.run.tqdm", Bar)
    world = planted(factors=2, dim=6)
    sample(world, world.classifier(), 1000, seed=0, start=10)
    assert seen == sorted(seen)
    assert max(seen) == seen[-1] == 1000


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"generator": "digiface64"}, r"write directions.load_generator\('digiface64'\)"),
        ({"generator": nn.Linear(2, 3)}, r"is a Linear, not a generator: write directions.wrap\("),
        ({"generator": [1]}, "generator is a list, not a generator: give one from"),
        ({"classifiers": "faces"}, r"write directions.load_classifier\('faces'\)"),
        ({"classifiers": len}, r"write directions.wrap_classifier\(…, attributes="),
        ({"classifiers": ["faces"]}, r"classifier is 'faces', not a classifier"),
        ({"count": 1.5}, "count is a whole number or an Auto, not 1.5"),
        ({"count": True}, "count is a whole number or an Auto, not True"),
        ({"count": 0}, "count 0 must be at least 1"),
        ({"seed": 1.5}, "seed is a whole number, not 1.5"),
        ({"seed": None}, "seed is a whole number, not None"),
        ({"start": "3"}, "start is a whole number, not '3'"),
        ({"attributes": "factor_7"}, "no attribute 'factor_7': did you mean 'factor_"),
    ],
)
def test_arguments_of_another_kind(wrong, message) -> None:
    world = planted(factors=2, dim=6)
    usual = {"generator": world, "classifiers": world.classifier(), "count": 20, "seed": 0}
    with unchecked(), pytest.raises(LatdirError, match=message):
        sample(**{**usual, **wrong})


def test_numbers_of_numpy_and_one_name() -> None:
    world = planted(factors=2, dim=6)
    with unchecked():
        made = sample(
            world, world.classifier(), np.int64(20), seed=np.uint64(1), attributes="factor_1"
        )
    assert made.names == ("factor_1",)
    expected = sample(world, world.classifier(), 20, seed=1)
    assert torch.equal(made.scores[:, 0], expected.column("factor_1"))
