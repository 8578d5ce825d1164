"""Latent optimization and mappers against the official update, planted words and a slow loop."""

import math
from dataclasses import replace

import pytest
import torch

from directions import LatdirError
from directions.paths.base import load_path
from directions.paths.mapper import MapperPath, displacement
from directions.planted.clip import PlantedClip
from directions.planted.world import planted
from directions.space import Space
from discovery.jacobian.masks import box_mask
from discovery.text.clip_mapper import ClipMapper, _groups
from discovery.text.clip_optimize import ClipOptimize, change_outside

NAMES = ("smile", "age", "yaw")
WORLD = planted(factors=3, dim=12, names=NAMES, seed=2)
READER = WORLD.classifier()


@pytest.fixture(scope="module")
def world():
    return WORLD


@pytest.fixture(scope="module")
def clip(world):
    return PlantedClip(world)


def embed(images):
    """A face embedding that sees age and nothing else, as a point of the circle."""
    age = READER.logits(images)[:, 1]
    return torch.stack([age.cos(), age.sin()], 1)


def official(world, clip, code, *, text, steps, rate, distance, identity):
    """The official loop for one code, with torch's Adam and its schedule; the best code met."""
    target = clip.encode_texts([text])[0]
    w = code.clone().requires_grad_(True)
    face = embed(world.synthesize(code[None])).detach()
    optimizer = torch.optim.Adam([w], lr=rate)
    best, least, losses = code, math.inf, []
    for i in range(steps):
        t = i / steps
        ramp = 0.5 - 0.5 * math.cos(min(1, (1 - t) / 0.5) * math.pi)
        optimizer.param_groups[0]["lr"] = rate * ramp * min(1, t / 0.05)
        images = world.synthesize(w[None])
        loss = 1 - clip.encode_images(images)[0] @ target + distance * ((w - code) ** 2).sum()
        loss = loss + identity * (1 - torch.cosine_similarity(embed(images), face)[0])
        losses.append(float(loss.detach()))
        if losses[-1] < least:
            best, least = w.detach().clone(), losses[-1]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return best, losses


def test_optimization_is_the_official_loop_on_each_code(world, clip):
    codes = world.sample(3, seed=1)
    method = ClipOptimize(
        steps=30, patience=0, batch_size=2, distance=0.02, identity=0.3, embed=embed
    )
    done = method.optimize(world, clip, codes, text="smile")
    for i, code in enumerate(codes):
        best, losses = official(
            world, clip, code, text="smile", steps=30, rate=0.1, distance=0.02, identity=0.3
        )
        torch.testing.assert_close(done.codes[i], best, atol=1e-3, rtol=0)
        torch.testing.assert_close(done.curves.total[:, i], torch.tensor(losses), atol=1e-4, rtol=0)


def test_the_published_defaults():
    method = ClipOptimize()
    assert (method.steps, method.rate, method.distance, method.identity) == (300, 0.1, 0.008, 0.005)
    rates = [method._rate(t) for t in range(300)]
    assert rates[0] == 0
    assert max(rates) == pytest.approx(0.1)
    assert rates[15:150] == pytest.approx([0.1] * 135)
    assert rates[225] == pytest.approx(0.05)


def test_a_code_stops_alone(world, clip):
    codes = world.sample(4, seed=3)
    codes[0] = world.truth[0] * 4  # is what the text says already
    method = ClipOptimize(steps=100, patience=10, distance=0.0)
    done = method.optimize(world, clip, codes, text="smile")
    taken = (~done.curves.total.isnan()).sum(0)
    assert taken[0] < taken[1:].min()
    assert len(done.curves.total) == taken.max()
    alone = method.optimize(world, clip, codes[2:3], text="smile")
    torch.testing.assert_close(alone.codes[0], done.codes[2], atol=1e-4, rtol=0)
    assert torch.equal(done.start, codes)


def test_distance_and_identity_hold_back(world, clip):
    codes = world.sample(6, seed=4)
    lengths = [
        ClipOptimize(steps=40, distance=price)
        .optimize(world, clip, codes, text="smile")
        .change.norm(dim=1)
        .mean()
        for price in (0.0, 0.02, 0.5)
    ]
    assert lengths[0] > 1.2 * lengths[1] > 3 * lengths[2]
    turned = [
        ClipOptimize(steps=40, identity=price, distance=0.0, embed=embed)
        .optimize(world, clip, codes, text="smile and age")
        .change
        @ world.truth[1]
        for price in (0.0, 5.0)
    ]
    assert turned[1].abs().mean() < 0.3 * turned[0].abs().mean()


def test_the_edit_is_a_direction(world, clip):
    words = {"text": {"grin": "a smile"}, "neutral": "nothing", "clip": clip}
    bank = ClipOptimize(steps=40, n_codes=8).discover(world, **words)
    found = bank["grin"]
    assert found.vector @ world.truth[0] > 0.9
    assert found.evidence["clip_after"] > found.evidence["clip_before"] + 0.1
    assert 0.5 < found.evidence["agreement"] <= 1


def test_a_mapper_learns_its_text_and_is_kept(world, clip, tmp_path):
    path = ClipMapper(steps=80, depth=2).train(world, clip, text="smile", name="grin")
    codes = world.sample(64, seed=9)
    before = world.factors(codes)
    moved = [world.factors(path.shift(codes, a, unit="edit")) - before for a in (-1.0, 0.5, 1.0)]
    assert moved[2][:, 0].mean() > 0.4
    assert moved[2][:, 1:].abs().mean() < 0.3 * moved[2][:, 0].mean()
    assert moved[0][:, 0].mean() < 0
    torch.testing.assert_close(moved[1], moved[2] / 2, atol=1e-4, rtol=0)
    latent = (path.shift(codes, 1.0, unit="latent") - codes).norm(dim=1)
    assert latent.mean() == pytest.approx(1, rel=0.1)
    # Its own step for each code is what tells it from a direction.
    assert latent.std() > 0.02

    again = load_path(path.save(tmp_path / "grin.safetensors"), generator=world)
    assert isinstance(again, MapperPath)
    assert again.name == "grin"
    assert torch.equal(again.shift(codes, 1.5), path.shift(codes, 1.5))
    with pytest.raises(LatdirError, match="was made for planted"):
        load_path(tmp_path / "grin.safetensors", generator=planted(seed=5))


def test_the_mappers_mean_step_is_a_direction(world, clip):
    words = {"text": "smile", "neutral": "nothing", "clip": clip}
    bank = ClipMapper(steps=70, depth=2).discover(world, **words)
    assert bank["smile"].vector @ world.truth[0] > 0.9
    assert 0 < bank["smile"].evidence["agreement"] <= 1


class Layered(type(planted())):
    """A planted generator whose codes have six layers of two numbers."""

    def __init__(self, inner):
        self.inner = inner
        self.__dict__.update({k: v for k, v in inner.__dict__.items() if k != "spaces"})
        layers = tuple((i, i + 1) for i in range(6))
        self.spaces = {"w+": Space("w+", (6, 2), layers=layers)}

    def _draw(self, rng, count):
        return rng.standard_normal((count, 6, 2), dtype="float32")

    def synthesize(self, codes, space="w+"):
        return self.inner.synthesize(codes.flatten(1))


def test_layers_of_w_plus_have_networks_by_group(world, clip):
    assert _groups((18, 512)) == ((0, 4), (4, 8), (8, 18))
    assert _groups((6, 512)) == ((0, 4), (4, 6))
    assert _groups((3, 512)) == ((0, 3),)
    assert _groups((512,)) == ((0, 1),)
    layered = Layered(world)
    path = ClipMapper(steps=60, depth=2, hidden=8).train(layered, clip, text="smile")
    assert path.space == "w+"
    assert path.groups == ((0, 4), (4, 6))
    codes = layered.sample(16, seed=0)
    change = clip.encode_images(layered.synthesize(path.shift(codes, 1.0)))
    target = clip.encode_texts(["smile"])[0]
    before = clip.encode_images(layered.synthesize(codes)) @ target
    assert (change @ target - before).mean() > 0.03
    # A network of one group neither reads nor moves the layers of another.
    other = codes.clone()
    other[:, 5] += 1
    one = displacement(codes, path.groups[:1], path.networks[:1])
    assert not one[:, 4:].any()
    alone = displacement(codes[:, 1:2], ((0, 1),), path.networks[:1])
    torch.testing.assert_close(one[:, 1:2], alone)
    assert torch.equal(one, displacement(other, path.groups[:1], path.networks[:1]))
    bank = ClipOptimize(steps=30, n_codes=4).discover(
        layered, text="smile", neutral="nothing", clip=clip
    )
    assert bank["smile"].vector.shape == (6, 2)
    assert bank["smile"].vector.flatten() @ world.truth[0] > 0.8


@pytest.fixture(scope="module")
def halves():
    """Two factors: a smile brightens the left half of the image, age the right half."""
    world = planted(factors=2, dim=6, nuisances=0, names=("smile", "age"), seed=3)
    sides = torch.ones(2, *world.image_shape)
    sides[0, :, :, 8:] = 0
    sides[1, :, :, :8] = 0
    world._patterns = sides.flatten(1)
    return world


def test_a_region_limits_where_an_image_may_change(halves):
    both, codes = PlantedClip(halves), halves.sample(6, seed=4)
    left = box_mask((0, 0, 16, 8), height=16, width=16)

    def changes(mask=None, **settings):
        method = ClipOptimize(
            steps=60, patience=0, distance=0.0, outside=300.0, mask=mask, **settings
        )
        done = method.optimize(halves, both, codes, text="smile and age")
        return halves.factors(done.codes) - halves.factors(codes), done

    free, anywhere = changes()
    held, done = changes(region="0,0,16,8")
    assert (free > 0.5).all()
    assert not anywhere.curves.outside.any()
    assert (held[:, 0] > 0.5).all()
    assert held[:, 1].abs().max() < 0.1
    assert torch.equal(changes(mask=left)[1].codes, done.codes)
    other, _ = changes(mask=1 - left)
    assert (other[:, 1] > 0.5).all()
    assert other[:, 0].abs().max() < 0.1
    # A mask for each code goes with it from batch to batch.
    masks = torch.stack([left, 1 - left] * 3)
    mixed, _ = changes(mask=masks, batch_size=4)
    own = torch.arange(6) % 2
    torch.testing.assert_close(
        mixed, torch.where(own[:, None] == 0, held, other), atol=1e-4, rtol=0
    )
    curves = done.curves
    torch.testing.assert_close(curves.total, curves.clip + 300 * curves.outside)
    images, before = halves.synthesize(done.codes), halves.synthesize(codes)
    worst = (images - before)[..., 8:].square().sum((1, 2, 3)) / before[0].numel()
    torch.testing.assert_close(change_outside(images, before, left.expand(6, 16, 16)), worst)


def test_a_mapper_keeps_to_its_region(halves):
    both, codes = PlantedClip(halves), halves.sample(16, seed=4)
    found = {}
    for region in (None, "0,0,16,8"):
        method = ClipMapper(steps=80, depth=2, distance=0.1, outside=300.0, region=region)
        path = method.train(halves, both, text="smile and age")
        found[region] = halves.factors(path.shift(codes, 1.0, unit="edit")) - halves.factors(codes)
    assert found[None].mean(0).min() > 0.4
    assert found["0,0,16,8"][:, 0].mean() > 0.4
    assert found["0,0,16,8"][:, 1].abs().mean() < 0.15


def test_regions_that_are_none_are_refused(halves):
    both, codes = PlantedClip(halves), halves.sample(2, seed=0)
    words = {"text": "smile", "neutral": "nothing", "clip": both}
    for method in (ClipOptimize(region="chin"), ClipMapper(region="chin")):
        with pytest.raises(LatdirError, match="no region 'chin': it is one of eyes, mouth, nose"):
            method.discover(halves, **words)
        with pytest.raises(LatdirError, match=r"the mask has shape \[8, 8\]: give \[16, 16\]"):
            replace(method, mask=torch.ones(8, 8)).discover(halves, **words)
    with pytest.raises(LatdirError, match="a mask is empty"):
        ClipOptimize(mask=torch.zeros(16, 16)).optimize(halves, both, codes, text="smile")
    with pytest.raises(LatdirError, match="outside -1 must be at least 0"):
        ClipOptimize(outside=-1.0)
    with pytest.raises(LatdirError, match="outside -1 must be at least 0"):
        ClipMapper(outside=-1.0)


def test_refusals(world, clip):
    codes = world.sample(2, seed=0)
    with pytest.raises(LatdirError, match=r"shape \[n, 12\], not \[2, 11\]"):
        ClipOptimize().optimize(world, clip, codes[:, :11], text="smile")
    with pytest.raises(LatdirError, match="no codes to move"):
        ClipOptimize().optimize(world, clip, codes[:0], text="smile")
    with pytest.raises(LatdirError, match="no code was moved toward 'smile'"):
        ClipOptimize(steps=1).discover(world, text="smile", neutral="nothing", clip=clip)
    with pytest.raises(LatdirError, match="steps is 0: give at least 1"):
        ClipOptimize(steps=0)
    with pytest.raises(LatdirError, match="rate -1 must be above 0"):
        ClipOptimize(rate=-1.0)
    with pytest.raises(LatdirError, match="depth is 0: give at least 1"):
        ClipMapper(depth=0)
    with pytest.raises(LatdirError, match="rate 0 must be above 0"):
        ClipMapper(rate=0.0)
    path = ClipMapper(steps=3, depth=1).train(world, clip, text="smile")
    with pytest.raises(LatdirError, match="no unit 'years': use sigma, latent, edit"):
        path.shift(codes, 1.0, unit="years")
    with pytest.raises(LatdirError, match=r"moves codes of shape \[12\], not \[11\]"):
        path.shift(codes[:, :11], 1.0)
    with pytest.raises(LatdirError, match=r"amount has shape \[3\]"):
        path.shift(codes, torch.ones(3))
    held = path.stored()
    broken = {**held.tensors, "0.0.bias": torch.zeros(5)}
    with pytest.raises(LatdirError, match="must follow on each other"):
        MapperPath.restored(type(held)(held.generator, held.fingerprint, held.config, broken))
