"""Batches computed at the same time: the same results, in order, and nothing left behind."""

from __future__ import annotations

import threading

import pytest
import torch

from directions import Rendering, load_classifier, load_generator
from directions.classifiers import Mirrored
from directions.classifiers.base import Combined
from directions.classifiers.faces.embedding import FaceEmbedding
from directions.scoring import workers
from directions.scoring.renderer import Renderer
from directions.scoring.scorer import Scorer
from directions.scoring.workers import side_by_side, worker_count
from tests.worlds import Noisy, world


@pytest.fixture(params=[1, 2, 3])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_two_batches_are_computed_at_the_same_time_each_by_its_share_of_threads(two_threads):
    both = threading.Barrier(2, timeout=20)
    shares = []

    def work(part):
        both.wait()  # one batch after the other would wait for ever
        shares.append(torch.get_num_threads())
        return part

    assert list(side_by_side(work, range(4), workers=2)) == [0, 1, 2, 3]
    assert shares == [1] * 4
    later: list[int] = []
    thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert [torch.get_num_threads(), *later] == [2, 2]


def test_results_come_in_order_and_parts_are_taken_as_needed(two_threads):
    taken, gate = [], threading.Event()

    def parts():
        for i in range(10):
            taken.append(i)
            yield i

    def work(i):
        if i == 0:
            gate.wait(20)
        return i * i

    made = side_by_side(work, parts(), workers=2)
    threading.Timer(0.2, gate.set).start()
    assert next(made) == 0
    assert len(taken) == 3
    assert list(made) == [i * i for i in range(1, 10)]


def test_an_error_or_an_early_end_leaves_no_thread_behind(two_threads):
    before = threading.active_count()

    def work(i):
        if i == 3:
            raise ValueError("three")
        return i

    made = side_by_side(work, range(100), workers=2)
    assert [next(made) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="three"):
        next(made)
    other = side_by_side(work, range(3), workers=2)
    next(other)
    other.close()
    assert threading.active_count() == before
    assert torch.get_num_threads() == 2


def test_workers_are_bounded_by_threads_batches_and_memory(two_threads, monkeypatch):
    assert [worker_count(batches, 2**20) for batches in (0, 1, 2, 9)] == [1, 1, 2, 2]
    assert worker_count(9, workers.BYTES // 2 + 1) == 1


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", ["digiface64", "styleface64"])
def test_scores_and_embeddings_have_the_same_bits(name, precision):
    generator, classifier = load_generator(name), load_classifier("faces+pixels")
    codes = generator.sample(21, seed=3)
    rendering = Rendering(precision=precision, batch_size=8, progress=False)
    before, made = torch.get_num_threads(), []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            scorer = Scorer(generator, classifier, embed=FaceEmbedding(), rendering=rendering)
            assert scorer._renderer._workers(len(codes)) == count
            made.append(scorer.score_and_embed(codes))
    finally:
        torch.set_num_threads(before)
    for scores, embedded in made[1:]:
        assert torch.equal(scores, made[0][0])
        assert torch.equal(embedded, made[0][1])


def test_only_models_that_say_so_run_in_several_threads(two_threads):
    generator, faces = load_generator("digiface64"), load_classifier("faces")
    noisy = Noisy(faces, noise=0.1)

    def count(generator, classifier=None, embed=None):
        rendering = Rendering(batch_size=4)
        scorer = Scorer(generator, classifier, embed=embed, rendering=rendering)
        return scorer._renderer._workers(20)

    assert count(generator, faces) == count(generator, embed=FaceEmbedding()) == 2
    assert count(generator, Combined(faces, load_classifier("pixels"))) == 2
    assert count(generator, Mirrored(faces)) == 2
    assert count(generator, load_classifier("face-ensemble")) == 2
    assert count(generator, noisy) == count(generator, Mirrored(noisy)) == 1
    assert count(generator, faces, embed=lambda images: images) == 1
    assert count(world(), world().classifier()) == 1


class Tight(type(load_generator("digiface64"))):
    """No memory for two batches at the same time."""

    def inference(self, **options):
        make, running = super().inference(**options), threading.Semaphore()

        def run(codes):
            if not running.acquire(blocking=False):
                raise torch.OutOfMemoryError("out of memory")
            try:
                threading.Event().wait(0.05)
                return make(codes)
            finally:
                running.release()

        return run


def test_without_memory_for_two_batches_they_are_made_in_turn(two_threads):
    generator = load_generator("digiface64")
    tight = object.__new__(Tight)
    vars(tight).update(vars(generator))
    rendering = Rendering(batch_size=2, precision="float32")
    renderer = Renderer(tight, "z", rendering, concurrent=True)
    assert renderer._workers(7) == 2
    codes = generator.sample(7, seed=1)
    in_turn = Renderer(generator, "z", rendering)
    made, expected = (
        torch.cat(list(way.batches(codes, lambda images: images))) for way in (renderer, in_turn)
    )
    assert torch.equal(made, expected)
    assert renderer.batch_size == 2
