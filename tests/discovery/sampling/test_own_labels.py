"""Labels of a user's own, in every form that users have them in."""

import numpy as np
import pyarrow as pa
import pytest
import torch

from directions import LatdirError
from directions.classifiers.base import Attribute
from discovery.sampling.samples import Samples
from discovery.supervised.boundary import Boundary
from tests.worlds import Mapped, world

WORLD = world("linear")
CODES = WORLD.sample(300, seed=5)
SCORES = WORLD.factors(CODES)[:, 0]
LABELS = (SCORES > 0).int()


class Frame:
    """What pandas and polars have in common."""

    def __init__(self, columns):
        self._columns = columns
        self.columns = list(columns)

    def __getitem__(self, name):
        return np.asarray(self._columns[name])


@pytest.mark.parametrize("labels", [LABELS, LABELS.numpy(), LABELS.tolist(), LABELS.bool().numpy()])
@pytest.mark.parametrize("codes", [CODES, CODES.numpy().astype(float), CODES.tolist(), None])
def test_arrays_of_every_kind_give_the_same_samples(codes, labels):
    seed = 5 if codes is None else None
    samples = Samples.from_arrays(codes, labels, "glasses", generator=WORLD, seed=seed)
    assert torch.equal(samples.codes, CODES)
    assert samples.column("glasses").tolist() == LABELS.tolist()
    assert samples.attributes == (Attribute("glasses", "probability", "probability"),)
    assert (samples.seed, samples.index, samples.fingerprint) == (seed, None, WORLD.fingerprint)
    direction = Boundary(bootstrap=0).discover(samples)["glasses"]
    assert float(direction.vector @ WORLD.truth[0]) > 0.8
    assert direction.sigma == pytest.approx(WORLD.prior().sigma(direction.vector))


def test_places_of_a_seed_and_several_columns():
    places = torch.tensor([270, 3, 299])
    table = np.stack([SCORES[places].numpy(), [1, 0, 1]], 1)
    names = [Attribute("tilt", unit="degrees"), "glasses"]
    samples = Samples.from_arrays(None, table, names, generator=WORLD, seed=5, index=places)
    assert torch.equal(samples.codes, CODES[places])
    assert torch.equal(samples.places, places)
    assert [(a.kind, a.unit) for a in samples.attributes] == [
        ("value", "degrees"),
        ("probability", "probability"),
    ]


@pytest.mark.parametrize("kind", [dict, Frame, pa.table])
def test_frames_of_every_kind_give_the_same_samples(kind):
    places = torch.randperm(300, generator=torch.Generator().manual_seed(0))[:40]
    labels = {"score.glasses": LABELS[places].tolist(), "tilt": SCORES[places].tolist()}
    frame = kind({"seed": [5] * 40, "index": places.tolist(), **labels})
    samples = Samples.from_frame(frame, generator=WORLD)
    assert torch.equal(samples.codes, CODES[places])
    assert (samples.names, samples.seed) == (("glasses", "tilt"), 5)
    codes = CODES[places]
    for given in (
        {"code": codes.tolist()},
        {f"code_{i}": codes[:, i].tolist() for i in range(codes.shape[1])},
    ):
        other = Samples.from_frame(kind({**given, **labels}), generator=WORLD)
        assert torch.equal(other.codes, codes)
        assert torch.equal(other.scores, samples.scores)
        assert other.seed is None


def test_frames_of_several_seeds_and_of_another_space(tmp_path):
    generator = Mapped(WORLD)
    frame = {"seed": [1, 2, 1], "index": [0, 0, 400], "rank": [1, 2, 3], "by": ["a", "b", "c"]}
    samples = Samples.from_frame(
        frame, generator=generator, names=["rank"], space="w", truncation=0.5
    )
    for row, (seed, start) in enumerate([(1, 0), (2, 0), (1, 400)]):
        code = generator.sample(1, seed=seed, start=start, space="w", truncation=0.5)[0]
        torch.testing.assert_close(samples.codes[row], code)
    torch.testing.assert_close(samples.prior.covariance, generator.prior("w").covariance / 4)
    samples.save(tmp_path)
    again = Samples.load(tmp_path)
    assert (again.seed, again.truncation, again.names) == (None, 0.5, ("rank",))
    assert torch.equal(again.codes, samples.codes)


def test_the_files_of_samples_are_such_a_frame(tmp_path):
    import pyarrow.parquet as pq

    samples = Samples.from_arrays(None, LABELS, "glasses", generator=WORLD, seed=5)
    samples.save(tmp_path)
    again = Samples.from_frame(pq.read_table(tmp_path).drop(["index"]), generator=WORLD)
    assert torch.equal(again.codes, samples.codes)
    assert again.names == samples.names


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"generator": "digiface64"}, "generator is a generator, such as load_generator"),
        ({"codes": None}, "give either codes, or the seed that they were drawn with"),
        ({"seed": 0}, "give either codes, or the seed that they were drawn with"),
        ({"index": [0] * 300}, "index is the place in a seed's sequence: give the seed, no codes"),
        ({"codes": None, "seed": 0, "index": [0, 1]}, "300 rows of labels have 2 places"),
        ({"codes": None, "seed": 0, "index": [0.5] * 300}, "index holds whole numbers"),
        ({"codes": None, "seed": -1}, "seed holds numbers from 0 to"),
        ({"codes": CODES[:, :5]}, r"codes of space 'z' have shape \[n, 32\], not \[300, 5\]"),
        ({"codes": CODES[:9]}, "9 codes and 300 rows of labels do not fit"),
        ({"scores": ["yes"] * 300}, "scores are numbers in an array or a list, not list"),
        ({"scores": [None, *[1] * 299]}, "row 0 has no label of 'glasses': leave out rows"),
        ({"names": ["a", "b"]}, r"1 columns of labels and 2 names \(a, b\): give one name"),
        ({"space": "w"}, "planted has no space 'w'"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(given, text):
    arguments = {"codes": CODES, "scores": LABELS, "names": "glasses", "generator": WORLD, **given}
    with pytest.raises(LatdirError, match=text):
        untyped_from_arrays(**arguments)


def untyped_from_arrays(codes, scores, names, **given):
    """As users call it, past the check of types that only the tests have."""
    import inspect

    return inspect.unwrap(Samples.from_arrays.__func__)(Samples, codes, scores, names, **given)


@pytest.mark.parametrize(
    ("frame", "text"),
    [
        ({"glasses": [1, 0]}, "the table names no codes: it needs columns seed and index, or code"),
        ({"seed": [1, 2], "glasses": [1, 0]}, "codes of several seeds need an index"),
        ({"seed": [1, 1], "index": [0, 1]}, "the table has no column of labels: it has seed"),
        ({"seed": [1], "index": [0, 1], "a": [1, 0]}, "columns have equal lengths of at least one"),
        ({"seed": [1, 1], "a": ["x", "y"]}, "labels in column 'a' are numbers"),
        ({"code_0": [1, 1], "code_2": [1, 1], "a": [1, 0]}, "2 columns of codes, but no 'code_1'"),
        ({"seed": [0, np.nan], "a": [1, 0]}, "seed holds whole numbers"),
        (
            {"seed": 0, "glasses": [1, 0]},
            "column 'seed' is one value: give a list of them, one for",
        ),
        ([1, 2], "a frame is a pandas or Arrow table, or a dict of columns, not list"),
    ],
)
def test_frames_that_say_too_little_are_refused(frame, text):
    with pytest.raises(LatdirError, match=text):
        Samples.from_frame(frame, generator=WORLD)
