"""Styles mixed by layer and by region, on generators whose channels are known."""

from __future__ import annotations

import pytest
import torch

from directions import load_generator, wrap
from directions.editing import mix_styles, transfer_region
from directions.errors import LatdirError, SpaceError

# Coordinate i acts on pixels of row i only; the last one on all.
BANDS = torch.cat([torch.eye(4)[:, :, None].expand(4, 4, 4), torch.ones(1, 4, 4)])


def bands():
    def image(z):
        return torch.einsum("nk,khw->nhw", z, BANDS)[:, None].expand(-1, 3, -1, -1) / 10

    return wrap(image, latent_dim=5, name="bands", version="1")


def test_a_region_takes_the_channels_that_act_there():
    world = bands()
    codes, other = world.sample(3, seed=0), world.sample(3, seed=1)
    region = torch.zeros(4, 4, dtype=torch.bool)
    region[1:3] = True
    made = transfer_region(world, codes, other, region, space="z", share=0.6, probes=400)
    wanted = codes.clone()
    wanted[:, 1:3] = other[:, 1:3]
    assert torch.equal(made, wanted)
    # Half of the last one's effect is inside: with a smaller share it is taken, too.
    wanted[:, 4] = other[:, 4]
    made = transfer_region(world, codes, other, region, space="z", share=0.3, probes=400)
    assert torch.equal(made, wanted)
    whole = torch.ones(4, 4)
    assert torch.equal(
        transfer_region(world, codes, other[:1], whole, space="z"), other[:1].expand(3, 5)
    )


def test_images_change_more_inside_the_region():
    world = load_generator("styleface64")
    s = world.map(world.sample(2, seed=21, space="w"), "w", "s")
    region = torch.zeros(64, 64, dtype=torch.bool)
    region[36:58, 14:50] = True
    made = transfer_region(world, s[:1], s[1:], region, space="s", probes=4)
    change = (world.synthesize(made, "s") - world.synthesize(s[:1], "s")).square().mean((0, 1))
    assert change[region].mean() > 1.5 * change[~region].mean() > 0


def test_layers_are_taken_from_the_other_code():
    w = torch.arange(24.0).reshape(2, 4, 3)
    mixed = mix_styles(w, -w[:1], layers=[0, 3])
    assert torch.equal(mixed[:, 1:3], w[:, 1:3])
    assert torch.equal(mixed[:, [0, 3]], -w[:1, [0, 3]].expand(2, 2, 3))
    assert torch.equal(mix_styles(w, -w, layers=[]), w)


def test_what_is_refused():
    world, codes = bands(), torch.zeros(2, 5)
    with pytest.raises(LatdirError, match=r"a region is \[4, 4\], true for pixels inside"):
        transfer_region(world, codes, codes, torch.zeros(4, 4), space="z")
    with pytest.raises(LatdirError, match=r"a region is \[4, 4\]"):
        transfer_region(world, codes, codes, torch.ones(3, 4), space="z")
    with pytest.raises(LatdirError, match=r"share 2\.0 is a part"):
        transfer_region(world, codes, codes, torch.ones(4, 4), space="z", share=2.0)
    with pytest.raises(SpaceError, match="3 references for 2 codes"):
        transfer_region(world, codes, torch.zeros(3, 5), torch.ones(4, 4), space="z")
    with pytest.raises(SpaceError, match="there are no codes to change: give at least one"):
        transfer_region(world, codes[:0], codes[:1], torch.ones(4, 4), space="z")
    with pytest.raises(LatdirError, match="reference: 10 of 10 values are NaN or infinite"):
        transfer_region(world, codes, codes / 0, torch.ones(4, 4), space="z")
    with pytest.raises(LatdirError, match="codes: 24 of 24 values are NaN or infinite"):
        mix_styles(torch.zeros(2, 4, 3) / 0, torch.zeros(1, 4, 3), layers=[0])
    with pytest.raises(SpaceError, match="cannot take layers of"):
        mix_styles(torch.zeros(2, 4, 3), torch.zeros(3, 4, 3), layers=[0])
    with pytest.raises(SpaceError, match="layers 0 to 3, not"):
        mix_styles(torch.zeros(2, 4, 3), torch.zeros(1, 4, 3), layers=[4])
