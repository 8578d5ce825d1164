import logging

import pytest
import torch

from directions.scoring.graphs import Replayed


class Recorder:
    """Stands in for a card: what is recorded sees its input's memory only when it is replayed."""

    def __init__(self, error: Exception | None = None):
        self.error, self.replays = error, 0

    def __call__(self, run):
        if self.error:
            raise self.error
        made = run().clone()

        def replay():
            self.replays += 1
            made.copy_(run())

        return replay, made


class Counted:
    def __init__(self):
        self.calls = 0

    def __call__(self, codes):
        self.calls += 1
        return torch.sin(codes)


def batches(count=5, size=4):
    rng = torch.Generator().manual_seed(0)
    return list(torch.randn(count, size, 3, generator=rng))


def test_full_batches_are_replayed_and_the_ragged_one_is_not():
    recorder, run = Recorder(), Counted()
    fast = Replayed(run, record=recorder)
    parts = [*batches(), batches()[0][:3]]
    made = [fast(part) for part in parts]
    for part, images in zip(parts, made, strict=True):
        assert torch.equal(images, torch.sin(part))
    assert recorder.replays == 2 + 3  # two to check it, then the third to fifth batch
    assert fast.recorded
    assert fast.shape == (4, 3)
    fast(batches()[1])
    assert recorder.replays == 6, "a ragged batch in between does not end the recording"


def test_each_batch_has_memory_of_its_own():
    fast = Replayed(torch.sin, record=Recorder())
    made = [fast(part) for part in batches()]
    assert len({images.data_ptr() for images in made}) == len(made)


def test_a_batch_that_changes_size_is_followed_until_one_is_recorded():
    recorder = Recorder()
    fast = Replayed(torch.sin, record=recorder)
    for size in (8, 4, 4, 4):
        fast(torch.ones(size, 3))
    assert fast.shape == (4, 3)
    assert recorder.replays == 3


def test_what_cannot_be_recorded_is_computed_plainly(caplog):
    caplog.set_level(logging.INFO)
    refused = RuntimeError("operation not permitted when stream is capturing\nmore")
    run = Counted()
    fast = Replayed(run, record=Recorder(refused))
    for part in batches():
        assert torch.equal(fast(part), torch.sin(part))
    assert run.calls == 5
    assert "not replayed from a graph: operation not permitted when stream" in caplog.text
    assert "more" not in caplog.text


def test_no_memory_for_a_recording_is_no_error():
    fast = Replayed(torch.sin, record=Recorder(torch.OutOfMemoryError("CUDA out of memory")))
    for part in batches():
        assert torch.equal(fast(part), torch.sin(part))


@pytest.mark.parametrize("frozen", ["codes", "noise"])
def test_a_recording_that_differs_in_any_bit_is_not_used(frozen):
    """A function that goes through the CPU bakes its first values into the graph."""
    rng = torch.Generator().manual_seed(0)

    def run(codes):
        return codes + (torch.randn(codes.shape, generator=rng) if frozen == "noise" else 0)

    def record(run):
        made = run().clone()
        return (lambda: None), made

    fast = Replayed(run, record=record)
    made = [fast(part) for part in batches()]
    if frozen == "codes":
        assert all(torch.equal(a, b) for a, b in zip(made, batches(), strict=True))
    assert not fast.recorded
