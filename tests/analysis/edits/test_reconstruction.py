import json

import pytest
import torch
from scipy.ndimage import gaussian_filter

from analysis.edits.reconstruction import BACKBONES, lpips_distance, reconstruction_quality
from directions import LatdirError

pytest.importorskip("torchmetrics", reason="the extra `metrics` is not installed")


def pictures(n=3, side=32, *, seed=0):
    noise = torch.rand(n, 3, side, side, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.avg_pool2d(noise, 3, 1, 1) * 2 - 1


def slow_ssim(x, y):
    """Wang et al. 2004 with a Gaussian window of 11 pixels and sigma 1.5, mirrored at borders."""

    def blur(image):
        return gaussian_filter(image, 1.5, truncate=5 / 1.5, mode="mirror")

    c1, c2 = (0.01 * 2) ** 2, (0.03 * 2) ** 2
    found = []
    for a, b in zip(x.double().numpy(), y.double().numpy(), strict=True):
        ma, mb = blur(a), blur(b)
        va, vb, cov = blur(a * a) - ma**2, blur(b * b) - mb**2, blur(a * b) - ma * mb
        top = (2 * ma * mb + c1) * (2 * cov + c2)
        found.append((top / ((ma**2 + mb**2 + c1) * (va + vb + c2))).mean())
    return sum(found) / 3


def test_measures_are_the_published_formulas_pair_by_pair():
    images = pictures()
    rebuilt = (images + 0.1 * pictures(seed=1)).clamp(-1, 1)
    found = reconstruction_quality(images, rebuilt, batch_size=2)
    error = (images - rebuilt).square().mean((1, 2, 3))
    torch.testing.assert_close(found.mse, error)
    torch.testing.assert_close(found.psnr, 10 * torch.log10(4 / error))
    for i in range(3):
        assert float(found.ssim[i]) == pytest.approx(slow_ssim(images[i], rebuilt[i]), abs=1e-3)
    assert found.ms_ssim is None
    assert found.perceptual is None


def test_equal_images_are_perfect_and_worse_ones_are_worse():
    images = pictures(2, 176)
    same = reconstruction_quality(images, images)
    assert torch.isinf(same.psnr).all()
    torch.testing.assert_close(same.ssim, torch.ones(2))
    torch.testing.assert_close(same.ms_ssim, torch.ones(2))
    assert "psnr" not in same.summary()
    worse = [
        reconstruction_quality(images, (images + s * pictures(2, 176, seed=4)).clamp(-1, 1))
        for s in (0.1, 0.3, 0.6)
    ]
    for name in ("psnr", "ssim", "ms_ssim"):
        means = [float(getattr(w, name).mean()) for w in worse]
        assert means == sorted(means, reverse=True)
    said = json.loads(json.dumps(worse[0].as_dict()))
    assert said["count"] == 2
    assert said["psnr"]["low"] <= said["psnr"]["mean"] <= said["psnr"]["high"]


def test_any_function_of_two_batches_is_a_perceptual_distance():
    images, rebuilt = pictures(), pictures(seed=1)
    found = reconstruction_quality(
        images, rebuilt, perceptual=lambda x, y: (x - y).abs().mean((1, 2, 3)), batch_size=2
    )
    torch.testing.assert_close(found.perceptual, (images - rebuilt).abs().mean((1, 2, 3)))
    with pytest.raises(LatdirError, match=r"the perceptual function returned \[\] for 2 pairs"):
        reconstruction_quality(images, rebuilt, perceptual=lambda x, y: x.mean(), batch_size=2)
    with pytest.raises(LatdirError, match="the perceptual function returned 3, not a tensor of"):
        reconstruction_quality(images, rebuilt, perceptual=lambda x, y: 3)


def test_lpips_takes_weights_that_are_at_hand_and_fetches_none(tmp_path, monkeypatch):
    models = pytest.importorskip("torchvision.models", reason="torchvision is not installed")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(LatdirError, match=r"LPIPS needs squeezenet1_1-b8a52dc0\.pth in .*checkpoi"):
        lpips_distance("squeeze")
    with pytest.raises(LatdirError, match="backbone is one of alex, vgg, squeeze"):
        lpips_distance("resnet")
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        torch.save(models.squeezenet1_1().state_dict(), folder / BACKBONES["squeeze"])
    distance = lpips_distance("squeeze")
    images = pictures(2, 64)
    near, far = distance(images, images * 0.98), distance(images, pictures(2, 64, seed=5))
    assert distance(images, images).abs().max() < 1e-6
    assert near.shape == (2,)
    assert (near > 0).all()
    assert (near < far).all()
    found = reconstruction_quality(images, images * 0.98, perceptual=distance)
    torch.testing.assert_close(found.perceptual, near)


@pytest.mark.parametrize(
    ("images", "rebuilt", "says"),
    [
        (torch.zeros(2, 3, 32, 32), torch.zeros(2, 3, 16, 16), "cannot be compared with"),
        (torch.zeros(0, 3, 32, 32), torch.zeros(0, 3, 32, 32), "cannot be compared with"),
        (torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 8), "windows of 11 pixels: 8 are too few"),
        (torch.full((1, 3, 16, 16), 127.0), torch.zeros(1, 3, 16, 16), "pixels reach 127"),
    ],
)
def test_refusals(images, rebuilt, says):
    with pytest.raises(LatdirError, match=says):
        reconstruction_quality(images, rebuilt)
