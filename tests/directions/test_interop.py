"""Other people's direction files: round trips, the official fixtures, refusals."""

from __future__ import annotations

import io
import os
import pickle
import random
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.lib import format as npy
from torch import Tensor

from directions import Direction, DirectionBank, LatdirError, Prior, Space
from directions.fingerprints import fingerprint
from directions.generators.base import Generator
from directions.interop import export_bank, import_bank
from tests.parity import FIXTURES

LAYERS, SIZE = 6, 8


class Layered(Generator):
    """A generator with z, w and w+, whose w is not standard normal; its images are never asked."""

    name = "layered"
    image_shape = (3, 4, 4)

    def __init__(self, size: int = SIZE) -> None:
        self.spaces = {
            "z": Space("z", (size,)),
            "w": Space("w", (size,)),
            "w+": Space("w+", (LAYERS, size), tuple((i, i + 1) for i in range(LAYERS))),
        }
        self.scale = torch.arange(1, size + 1).float()

    @property
    def fingerprint(self) -> str:
        return fingerprint({"scale": self.scale}, {})

    def synthesize(self, codes: Tensor, space: str = "z") -> Tensor:
        raise NotImplementedError

    def _map(self, codes: Tensor, source: str, target: str) -> Tensor:
        w = codes * self.scale + 1 if source == "z" else codes
        return w[:, None].expand(-1, LAYERS, -1) if target == "w+" else w


@pytest.fixture(scope="module")
def generator() -> Layered:
    return Layered()


def vectors(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def bank_of(generator: Layered, rows: Tensor, space: str = "w") -> DirectionBank:
    prior = generator.prior("w") if space == "w" else None
    made = [
        Direction.from_vector(
            f"d{i}", row, space=space, sigma=prior.sigma(row) / float(row.norm()) if prior else 1.0
        )
        for i, row in enumerate(rows)
    ]
    return DirectionBank(tuple(made), generator.name, generator.fingerprint)


# InterFaceGAN


@pytest.mark.parametrize("shape", [(1, SIZE), (SIZE,), (1, 1, SIZE)])
def test_a_boundary_is_one_direction(tmp_path: Path, generator: Layered, shape: tuple) -> None:
    vector = 3 * vectors(*shape)
    np.save(tmp_path / "smile_w_boundary.npy", vector.double().numpy())
    bank = import_bank(tmp_path / "smile_w_boundary.npy", generator=generator, space="w")
    assert list(bank) == ["smile_w_boundary"]
    assert bank.check(generator).provenance == {"imported_from": "smile_w_boundary.npy"}
    (d,) = bank.directions
    unit = vector.flatten() / vector.norm()
    torch.testing.assert_close(d.vector, unit)
    assert (d.offset, d.space, d.method) == (None, "w", "imported")
    # w = scale · z + 1 with z standard normal.
    assert d.sigma == pytest.approx(float((unit * generator.scale).norm()), rel=0.02)


def test_a_stack_is_several_directions(tmp_path: Path, generator: Layered) -> None:
    rows = vectors(3, SIZE)
    np.save(tmp_path / "sefa.npy", rows.numpy())
    bank = import_bank(tmp_path / "sefa.npy", generator=generator, space="w", name="s")
    assert list(bank) == ["s_0", "s_1", "s_2"]
    torch.testing.assert_close(bank["s_2"].vector, rows[2] / rows[2].norm())


def test_boundaries_go_out_and_come_back(tmp_path: Path, generator: Layered) -> None:
    bank = bank_of(generator, vectors(2, SIZE))
    files = export_bank(bank, tmp_path / "b.npy")
    assert [f.name for f in files] == ["b_d0.npy", "b_d1.npy"]
    stored = np.load(files[1])
    assert stored.shape == (1, SIZE)
    assert stored.dtype == np.float32
    back = import_bank(files[1], generator=generator, space="w")
    torch.testing.assert_close(back["b_d1"].vector, bank["d1"].vector)
    assert back["b_d1"].sigma == pytest.approx(bank["d1"].sigma)
    single = bank.select(["d0"])
    assert export_bank(single, tmp_path / "one.npy") == [tmp_path / "one.npy"]


def test_the_official_boundaries_import(tmp_path: Path) -> None:
    path = FIXTURES / "interfacegan" / "boundaries.npz"
    if not path.exists():
        pytest.skip(f"no fixture {path}")
    fixture = np.load(path)
    for name in ("male", "expr1", "age"):
        np.save(tmp_path / f"{name}.npy", fixture[f"boundary_{name}"])
        bank = import_bank(tmp_path / f"{name}.npy", generator=Layered(100), space="z")
        np.testing.assert_allclose(
            bank[name].vector.numpy(), fixture[f"boundary_{name}"][0], atol=1e-6
        )
        assert bank[name].sigma == pytest.approx(1.0)


# GANSpace


def test_the_official_components_import(tmp_path: Path) -> None:
    path = FIXTURES / "ganspace_stylegan2" / "pca.npz"
    if not path.exists():
        pytest.skip(f"no fixture {path}")
    fixture = np.load(path)
    prefix = "ipca_c80."
    fields = {k.removeprefix(prefix): fixture[k] for k in fixture if k.startswith(prefix)}
    np.savez_compressed(tmp_path / "stylegan2_style_ipca_c80.npz", **fields)
    bank = import_bank(tmp_path / "stylegan2_style_ipca_c80.npz", generator=Layered(32), space="w")
    assert list(bank) == [f"pc{i}" for i in range(32)]
    w = torch.from_numpy(fixture["w_samples"])
    for i, d in enumerate(bank.directions):
        assert d.evidence["var_ratio"] == pytest.approx(float(fields["var_ratio"][i]))
        # One of their slider's units is one of our sigmas, and their center is level 0.
        step = d.shift(torch.zeros(1, 32), 1.0)[0].numpy()
        np.testing.assert_allclose(
            step, fields["lat_comp"][i, 0] * fields["lat_stdev"][i], atol=1e-5
        )
        assert float(d.level(w).mean()) == pytest.approx(0, abs=1e-4)
        # Theirs is estimated from fresh draws, hence the tolerance.
        assert float(d.level(w).std()) == pytest.approx(d.sigma, rel=0.05)


def test_components_go_out_and_come_back(tmp_path: Path, generator: Layered) -> None:
    bank = bank_of(generator, torch.linalg.qr(vectors(SIZE, 3))[0].T)
    with pytest.raises(LatdirError, match=r"give prior=generator\.prior\(space\)"):
        export_bank(bank, tmp_path / "pca.npz")
    prior = generator.prior("w")
    (path,) = export_bank(bank, tmp_path / "pca.npz", prior=prior)
    stored = np.load(path)
    assert stored["lat_comp"].shape == (3, 1, SIZE)
    assert stored["lat_mean"].shape == (1, SIZE)
    back = import_bank(path, generator=generator, space="w", name="d")
    for name in bank:
        torch.testing.assert_close(back[name].vector, bank[name].vector)
        assert back[name].sigma == pytest.approx(bank[name].sigma, rel=1e-5)
        assert float(back[name].level(prior.mean[None])) == pytest.approx(0, abs=1e-5)
    whole = stored["var_ratio"] * float(prior.covariance.trace())
    np.testing.assert_allclose(whole, [d.sigma**2 for d in bank.directions], rtol=1e-5)


def test_components_that_do_not_belong_together_are_refused(
    tmp_path: Path, generator: Layered
) -> None:
    good = {
        "lat_comp": np.ones((2, 1, SIZE), np.float32),
        "lat_mean": np.zeros((1, SIZE), np.float32),
        "lat_stdev": np.ones(2, np.float32),
    }
    for changes, message in (
        ({"lat_comp": None}, "has no lat_comp: a GANSpace file holds"),
        ({"lat_stdev": np.ones(3, np.float32)}, r"its 'std' of shape \[3\] does not fit"),
        ({"lat_comp": np.ones((2, 1, 5), np.float32)}, r"'comp' of shape \[2, 1, 5\] does not fit"),
        ({"lat_mean": np.ones(3, np.float32)}, r"'mean' of shape \[3\] does not fit"),
        ({"lat_comp": np.zeros((2, 1, SIZE), np.float32)}, "'pc0' cannot be normalized"),
        ({"lat_stdev": np.zeros(2, np.float32)}, "'pc0' has sigma 0.0"),
        ({"lat_mean": np.full((1, SIZE), np.nan, np.float32)}, "'pc0' has offset nan"),
        ({"lat_comp": np.array(["a"])}, "it holds <U1, not numbers"),
        ({"lat_comp": np.array([{}], dtype=object)}, "is not a readable .npz file"),
    ):
        fields = {k: v for k, v in (good | changes).items() if v is not None}
        np.savez(tmp_path / "a.npz", **fields)
        with pytest.raises(LatdirError, match=message):
            import_bank(tmp_path / "a.npz", generator=generator, space="w")


def test_a_member_that_promises_more_than_it_holds_is_refused(
    tmp_path: Path, generator: Layered
) -> None:
    stream = io.BytesIO()
    npy.write_array_header_1_0(
        stream, {"descr": "<f4", "fortran_order": False, "shape": (2**40, 1, SIZE)}
    )
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        for field in ("lat_comp", "lat_mean", "lat_stdev"):
            archive.writestr(f"{field}.npy", stream.getvalue())
    with pytest.raises(LatdirError, match="its header promises"):
        import_bank(tmp_path / "a.npz", generator=generator, space="w")
    (tmp_path / "a.npy").write_bytes(stream.getvalue() + b"\0" * 64)
    with pytest.raises(LatdirError, match=r"is not a readable \.npy file"):
        import_bank(tmp_path / "a.npy", generator=generator, space="w")


# e4e


@pytest.mark.parametrize("shape", [(1, SIZE), (SIZE,)])
def test_a_tensor_is_one_direction(tmp_path: Path, generator: Layered, shape: tuple) -> None:
    vector = vectors(*shape)
    torch.save(vector, tmp_path / "age.pt")
    bank = import_bank(tmp_path / "age.pt", generator=generator, space="w")
    torch.testing.assert_close(bank["age"].vector, vector.flatten() / vector.norm())


@pytest.mark.parametrize("shape", [(LAYERS, SIZE), (1, LAYERS, SIZE)])
def test_a_layered_tensor_is_one_direction(
    tmp_path: Path, generator: Layered, shape: tuple
) -> None:
    vector = vectors(*shape)
    torch.save(vector, tmp_path / "age.pt")
    bank = import_bank(tmp_path / "age.pt", generator=generator, space="w+")
    torch.testing.assert_close(bank["age"].vector, vector.reshape(LAYERS, SIZE) / vector.norm())
    with pytest.raises(LatdirError, match=r"it is one vector of space 'w\+': give space='w\+'"):
        import_bank(tmp_path / "age.pt", generator=generator, space="w")


def test_a_dict_is_a_bank(tmp_path: Path, generator: Layered) -> None:
    content = {"00_smile": vectors(1, SIZE), "01_age": vectors(1, SIZE, seed=1)}
    torch.save(content, tmp_path / "boundary.pt")
    bank = import_bank(tmp_path / "boundary.pt", generator=generator, space="w")
    assert list(bank) == list(content)


def test_a_decomposition_as_a_dict(tmp_path: Path, generator: Layered) -> None:
    content = {
        "comp": vectors(3, 1, SIZE),
        "mean": vectors(1, SIZE, seed=1),
        "std": torch.tensor([3.0, 2.0, 1.0]),
    }
    torch.save(content, tmp_path / "ffhq_pca.pt")
    bank = import_bank(tmp_path / "ffhq_pca.pt", generator=generator, space="w")
    codes = vectors(4, SIZE, seed=2)
    for i, d in enumerate(bank.directions):
        row = content["comp"][i, 0]
        assert d.sigma == pytest.approx(float(content["std"][i] * row.norm()), rel=1e-5)
        expected = (codes - content["mean"]) @ row / row.norm()
        torch.testing.assert_close(d.level(codes), expected)


@pytest.mark.parametrize("space", ["w", "w+"])
@pytest.mark.parametrize("count", [1, 2])
def test_tensors_go_out_and_come_back(
    tmp_path: Path, generator: Layered, space: str, count: int
) -> None:
    bank = bank_of(generator, vectors(count, *generator.space(space).shape), space)
    export_bank(bank, tmp_path / "a.pt")
    back = import_bank(tmp_path / "a.pt", generator=generator, space=space)
    assert list(back) == (list(bank) if count > 1 else ["a"])
    torch.testing.assert_close(back.matrix(), bank.matrix())


class Attack:
    def __reduce__(self) -> tuple:
        return os.mkdir, ("attacked",)


@pytest.mark.parametrize("suffix", [".pt", ".npy", ".npz"])
def test_code_in_a_file_is_not_run(
    tmp_path: Path, generator: Layered, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / f"evil{suffix}"
    if suffix == ".pt":
        torch.save({"smile": Attack()}, path)
    elif suffix == ".npy":
        np.save(path, np.array([Attack()], dtype=object), allow_pickle=True)
    else:
        path.write_bytes(pickle.dumps(Attack()))
    message = (
        "nothing in the file was run" if suffix == ".pt" else f"is not a readable {suffix} file"
    )
    with pytest.raises(LatdirError, match=message):
        import_bank(path, generator=generator, space="w")
    assert not (tmp_path / "attacked").exists()


# Refusals


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "it holds an empty dict"),
        ({"a": "text"}, "it holds a str for 'a'"),
        ([torch.ones(SIZE)], "it holds a list for 'a'"),
        (torch.ones(SIZE, dtype=torch.int64), "it holds a Tensor for 'a': .* float tensors"),
        (torch.tensor(1.0), "float tensors"),
        (torch.ones(1, 512), r"shape \[1, 512\], .*\[8\]: it belongs to another generator"),
        (torch.ones(0, SIZE), r"of shape \[0, 8\]"),
        (torch.zeros(1, SIZE), "'a' cannot be normalized"),
        (torch.full((1, SIZE), float("nan")), "'a' cannot be normalized"),
        ({"comp": 3, "mean": 2}, "its 'comp' is not an array"),
    ],
)
def test_tensors_that_are_no_directions_are_refused(
    tmp_path: Path, generator: Layered, content: object, message: str
) -> None:
    torch.save(content, tmp_path / "a.pt")
    with pytest.raises(LatdirError, match=message):
        import_bank(tmp_path / "a.pt", generator=generator, space="w")


def test_other_files_are_refused(tmp_path: Path, generator: Layered) -> None:
    with pytest.raises(LatdirError, match=r"they end in \.npy, \.npz, \.pt"):
        import_bank(tmp_path / "a.txt", generator=generator, space="w")
    with pytest.raises(LatdirError, match="there is no file"):
        import_bank(tmp_path / "a.npy", generator=generator, space="w")
    np.save(tmp_path / "a.npy", np.ones(8))
    with pytest.raises(LatdirError, match="layered has no space 'x': it has z, w"):
        import_bank(tmp_path / "a.npy", generator=generator, space="x")


def test_exports_that_would_lose_something_are_refused(tmp_path: Path, generator: Layered) -> None:
    bank = bank_of(generator, vectors(1, SIZE))
    some = bank.replaced([bank["d0"].evolve(layers=(1, 2))])
    with pytest.raises(LatdirError, match=r"acts on chosen layers, which \.npy files cannot say"):
        export_bank(some, tmp_path / "a.npy")
    with pytest.raises(LatdirError, match=r"have shape \[6, 8\]: write a \.pt file"):
        export_bank(bank_of(generator, vectors(1, LAYERS, SIZE), "w+"), tmp_path / "a.npy")
    with pytest.raises(LatdirError, match="give it a suffix of"):
        export_bank(bank, tmp_path / "a.csv")
    assert list(tmp_path.iterdir()) == []


def test_broken_copies_are_refused_or_harmless(tmp_path: Path, generator: Layered) -> None:
    bank = bank_of(generator, vectors(1, SIZE))
    prior = Prior.standard(SIZE)
    rng = random.Random(0)
    for suffix in (".npy", ".npz", ".pt"):
        (path,) = export_bank(bank, tmp_path / f"a{suffix}", prior=prior)
        whole, refused = path.read_bytes(), 0
        broken = [whole[:end] for end in range(0, len(whole), max(1, len(whole) // 60))]
        for position in rng.sample(range(len(whole) * 8), 120):
            flipped = bytearray(whole)
            flipped[position // 8] ^= 1 << position % 8
            broken.append(bytes(flipped))
        for content in broken:
            path.write_bytes(content)
            try:
                import_bank(path, generator=generator, space="w")
            except LatdirError:
                refused += 1
        assert refused >= 55, suffix
