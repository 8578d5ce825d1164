"""Style-based generators: their latent spaces and the maps between them.

A subclass of `StyleNetwork` implements one family's mapping, affine layers and synthesis;
`StyleGenerator` turns it into a `Generator` whose latent spaces are

* `z`   the input noise;
* `w`   one mapped code for all layers;
* `w+`  one mapped code a layer, `[num_ws, w_dim]`;
* `s`   the output of all affine layers side by side, addressable by layer and channel
        (StyleSpace, Wu et al. 2021, arXiv:2011.12799);
* `p`   w before the mapping's last leaky ReLU, where codes are closer to a Gaussian
        (Zhu et al. 2020, arXiv:2012.09036);
* `pn`  p along its principal axes, each divided by its standard deviation: a standard normal
        as nearly as the mapping allows (same paper);
* `pn+` one pn code a layer.

w, p and pn are equivalent, and so are w+ and pn+; from w the map to all
others is exact too. Where there is no exact inverse, the map is least squares: from w+ to w
the mean of the layers; from s to w+, for each layer, the w whose affine maps come closest to
the styles; from s to w the one w that fits all affine maps best. There is no map
back to z: `directions.invert(…, space="z")` finds z by its images.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from directions.devices import InDtype
from directions.errors import LatdirError, SpaceError
from directions.fingerprints import Precision, fingerprint
from directions.generators.base import PRIOR_SAMPLES, Generator
from directions.generators.progressive import NEGATIVE_SLOPE
from directions.generators.stylegan.network import StyleNetwork, substituted
from directions.generators.stylegan.space_maps import AffineInverse, Whitening, through_affine
from directions.seeds import PRIOR_SEED
from directions.space import LowRankPrior, Prior, Space

__all__ = ["StyleGenerator"]

# Parts of networks that make w.
MAPPING = ("dense", "embed")


class StyleGenerator(Generator):
    """A style-based network as a generator with all its latent spaces.

    Args:
        network: The network; put into evaluation mode and frozen, otherwise unchanged.
        name: Short name, shown and stored.
        label: For conditional networks, the class all images belong to.
        noise: `const` (the stored noise), `none`, or a seed for fresh noise that is the same
            for every call.
        truncation_cutoff: Number of leading w slots that truncation acts on; None means all.

    Raises:
        LatdirError: A label for an unconditional network, or one out of range.
    """

    concurrent = True
    _stays = (*Generator._stays, "_whitening")

    def __init__(
        self,
        network: StyleNetwork,
        *,
        name: str,
        label: int | None = None,
        noise: str | int = "const",
        truncation_cutoff: int | None = None,
    ) -> None:
        self.network = network.eval()
        # One by one: under `torch.func` none may be asked, and there none needs to be.
        for weight in network.parameters():
            if weight.requires_grad:
                weight.requires_grad_(False)
        self.name = name
        if label is not None and not 0 <= label < network.c_dim:
            raise LatdirError(
                f"this network has {network.c_dim} classes, so there is no class {label}"
                + ("" if network.c_dim else ": leave the label out")
            )
        if isinstance(noise, str) and noise not in ("const", "none"):
            raise LatdirError(f"noise is 'const', 'none' or a seed, not {noise!r}")
        self.label = label
        self.noise = noise
        self.truncation_cutoff = truncation_cutoff
        size = network.resolution
        self.image_shape = (network.image_channels, size, size)
        slots = tuple((i, i + 1) for i in range(network.num_ws))
        ends = torch.tensor(network.style_sizes).cumsum(0).tolist()
        channels = tuple(zip([0, *ends[:-1]], ends, strict=True))
        self.spaces = {
            "z": Space("z", (network.z_dim,)),
            "w": Space("w", (network.w_dim,)),
            "w+": Space("w+", (network.num_ws, network.w_dim), layers=slots),
            "s": Space("s", (sum(network.style_sizes),), layers=channels),
            "p": Space("p", (network.w_dim,)),
            "pn": Space("pn", (network.w_dim,)),
            "pn+": Space("pn+", (network.num_ws, network.w_dim), layers=slots),
        }

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over the weights and the label."""
        return fingerprint(self.network.state_dict(), {"label": self.label})

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return next(self.network.parameters()).device

    def _confusable(self, space: str) -> list[str]:
        """Spaces of the same shape; z stands for pn too, since both are standard normal.

        Else pn and pn+ count once their axes are known: codes of them come from there.
        """
        others = super()._confusable(space)
        hidden = {"pn": {"z"}, "z": {"pn"}}.get(space, {"pn"} if "z" in others else set())
        if "_whitening" not in vars(self) and not space.startswith("pn"):
            hidden |= {"pn", "pn+"}
        return [name for name in others if name not in hidden]

    @cached_property
    def _networks(self) -> InDtype:
        """The network in the dtype of codes."""
        return InDtype(self.network)

    def _map(self, codes: Tensor, source: str, target: str) -> Tensor:
        if target == "z":
            raise SpaceError(
                f"{self.name} has no map from space {source!r} back to 'z': "
                "keep the z codes that they were mapped from, edit in w, or find z by its images, "
                f"invert(generator, generator.synthesize(codes, {source!r}), space='z')"
            )
        here = source
        while here != target:
            step = _next_space(here, target)
            codes, here = self._step(codes, here, step), step
        return codes

    def _step(self, codes: Tensor, source: str, target: str) -> Tensor:
        """One step of `_map`, between spaces that are neighbors."""
        match source, target:
            case "z", "w":
                network: StyleNetwork = self._networks(codes.dtype)
                return network.mapping(codes, self._one_hot(len(codes), codes))
            case "w", "w+":
                return codes[:, None].expand(-1, self.network.num_ws, -1).clone()
            case "w", "p":
                return functional.leaky_relu(codes, 1 / NEGATIVE_SLOPE)
            case "p", "w":
                return functional.leaky_relu(codes, NEGATIVE_SLOPE)
            case "p", "pn":
                return self._whitening.forward(codes)
            case "pn", "p":
                return self._whitening.back(codes)
            case "w+", "pn+":
                return self._whitening.forward(functional.leaky_relu(codes, 1 / NEGATIVE_SLOPE))
            case "pn+", "w+":
                return functional.leaky_relu(self._whitening.back(codes), NEGATIVE_SLOPE)
            case "w+", "s":
                return self._styles(codes)
            case "w+", "w":
                # The least-squares w of all slots is their mean.
                return codes.mean(1)
            case "s", "w":
                return self._joint_inverse.solve(codes)
            case "s", "w+":
                parts = torch.split(codes, list(self.network.style_sizes), 1)
                solved = [
                    inverse.solve(torch.cat([parts[i] for i in layers], 1))
                    for layers, inverse in self._slot_inverses
                ]
                return torch.stack(solved, 1)
        return super()._map(codes, source, target)

    @cached_property
    def _whitening(self) -> Whitening:
        # Kept beyond the call, which may be in inference mode, for calls that want gradients.
        with torch.inference_mode(False):
            return Whitening.of(self.prior("p"))

    @cached_property
    def _joint_inverse(self) -> AffineInverse:
        affine = [self.network.affine(i) for i in range(len(self.network.style_sizes))]
        with torch.inference_mode(False):
            return AffineInverse.of(affine, center=self.network.w_avg)

    @cached_property
    def _slot_inverses(self) -> list[tuple[list[int], AffineInverse]]:
        """For each slot of w+, the affine layers that read it and their inverse."""
        slots = self.network.style_slots
        readers = [
            [i for i, slot in enumerate(slots) if slot == k] for k in range(self.network.num_ws)
        ]
        with torch.inference_mode(False):
            return [
                (
                    layers,
                    AffineInverse.of(
                        [self.network.affine(i) for i in layers], center=self.network.w_avg
                    ),
                )
                for layers in readers
            ]

    def prior(self, space: str | None = None) -> Prior:
        """Mean and covariance of the codes of a space, kept once known.

        Those of w and p are estimated from 16,384 codes of a fixed seed; the others follow from
        them exactly, as factors, since s and w+ may have 9,000 coordinates.
        """
        name = "z" if space is None else self.space(space).name
        if name in ("z", "w", "p"):
            return super().prior(name)
        if name not in self._priors:
            self._priors[name] = self._derived_prior(name)
        return self._priors[name]

    def _derived_prior(self, space: str) -> Prior:
        if space == "s":
            affine = [self.network.affine(i) for i in range(len(self.network.style_sizes))]
            weight = torch.cat([layer.weight for layer in affine])
            return through_affine(
                self.prior("w"), weight, torch.cat([layer.bias for layer in affine])
            )
        if space == "pn":
            return self._whitening.prior(self.prior("p"))
        # The layers of codes that came from one w are equal.
        one, layers = self.prior(space.removesuffix("+")), self.network.num_ws
        factor = one.root.to(one.mean).repeat(layers, 1)
        return LowRankPrior(one.mean.repeat(layers), factor)

    def truncated_prior(self, space: str, truncation: float) -> Prior:
        """Mean and covariance of truncated codes; in w+, s and pn+ of the slots truncated only.

        Truncation is linear in w, not in p and pn, whose covariance is estimated anew.
        """
        if truncation == 1.0 or space in ("z", "w"):
            return super().truncated_prior(space, truncation)
        if space in ("p", "pn"):
            drawn = self.sample(PRIOR_SAMPLES, seed=PRIOR_SEED, space=space, truncation=truncation)
            return Prior.fit(drawn)
        slots = torch.arange(self.network.num_ws)
        cutoff = self.truncation_cutoff
        inside = slots < (self.network.num_ws if cutoff is None else cutoff)
        if space == "pn+":
            near, far = self.truncated_prior("pn", truncation), self.prior("pn")
            roots = [(near if chosen else far).root.to(far.mean) for chosen in inside]
            return LowRankPrior(far.mean.repeat(len(slots)), torch.cat(roots))
        sizes = self.network.style_sizes if space == "s" else (self.space(space).shape[-1],)
        of = list(self.network.style_slots) if space == "s" else slots.tolist()
        scale = torch.where(inside, truncation, 1.0)[of]
        repeats = torch.tensor(sizes if space == "s" else sizes * len(slots))
        return self.prior(space).scaled(scale.repeat_interleave(repeats))

    def sample(
        self,
        count: int,
        *,
        seed: int,
        start: int = 0,
        space: str | None = None,
        truncation: float = 1.0,
    ) -> Float[Tensor, "n ..."]:
        """Draw codes of a seed's endless sequence, as `Generator.sample`.

        Truncation is the original's: w is drawn toward the network's own mean w, in w+ (and in s,
        which follows from it) only in the slots before `truncation_cutoff`. Spaces of one code a
        image have no slots, so that there the cutoff has no part.

        Raises:
            LatdirError: As `Generator.sample`, or truncation in z.
        """
        if truncation == 1.0:
            return super().sample(count, seed=seed, start=start, space=space)
        target = self.space(space or "z").name
        if target == "z":
            raise LatdirError(
                f"truncation in z changes nothing: {self.name} normalizes z before it maps it; "
                "sample in w, with space='w'"
            )
        layered = target in ("w+", "s", "pn+")
        codes = super().sample(count, seed=seed, start=start, space="w+" if layered else "w")
        with torch.inference_mode():
            if layered:
                codes = self.truncate(codes, truncation)
            else:
                codes = self.network.w_avg.to(codes).lerp(codes, truncation)
            mapped = self._map(codes, "w+" if layered else "w", target)
        return mapped.clone()

    def _styles(self, ws: Float[Tensor, "n layers w"]) -> Float[Tensor, "n s"]:
        slots = self.network.style_slots
        network = self._networks(ws.dtype)
        return torch.cat([network.affine(i)(ws[:, slot]) for i, slot in enumerate(slots)], 1)

    def _one_hot(self, count: int, like: Tensor) -> Tensor | None:
        if not self.network.c_dim:
            return None
        if self.label is None:
            raise LatdirError(
                f"{self.name} is conditional on {self.network.c_dim} classes: "
                "choose one with generator.with_label(0)"
            )
        one_hot = torch.zeros(count, self.network.c_dim, dtype=like.dtype, device=like.device)
        one_hot[:, self.label] = 1
        return one_hot

    def with_label(self, label: int) -> StyleGenerator:
        """The same network making images of one class."""
        made: StyleGenerator = self._with(label=label)
        return made

    def _with(self, **changes: Any) -> Any:
        """The same generator but for some arguments."""
        kept = ("network", "name", "label", "noise", "truncation_cutoff")
        return type(self)(**{name: getattr(self, name) for name in kept} | changes)

    @property
    def tunable(self) -> dict[str, Tensor]:
        """The convolutions, those to colors among them."""
        return {
            key: weight.detach()
            for key, weight in self.network.named_parameters()
            if key.endswith(".weight") and weight.ndim == 4
        }

    @property
    def weights(self) -> dict[str, Tensor]:
        """All of the synthesis: styles, biases, noise strengths and the constant too."""
        return {
            key: weight.detach()
            for key, weight in self.network.named_parameters()
            if key.partition(".")[0] not in MAPPING
        }

    def block_of(self, key: str) -> int:
        """The resolution that a weight belongs to, counted from the first."""
        return self.network.block_of(key)

    def with_weights(self, weights: Mapping[str, Tensor], *, name: str | None = None) -> Any:
        """As `Generator.with_weights`; the mapping stays, and what is known of its codes."""
        made = self._with(network=substituted(self.network, weights), name=name or self.name)
        vars(made).update(_priors=self._priors, _profiles=self._profiles)
        return made

    def synthesize(self, codes: Float[Tensor, "n ..."], space: str = "z") -> Tensor:
        """Images of codes of any of its spaces, `[n, channels, R, R]`, nominally in [-1, 1].

        The computation runs in the dtype of the codes.
        """
        self.check(codes, space)
        styles = codes if space == "s" else self._map(codes, space, "s")
        parts = torch.split(styles, list(self.network.style_sizes), 1)
        network = self._networks(codes.dtype)
        images: Tensor = network.synthesis(parts, noise=self.noise)
        return images

    def prepared(self, precision: Precision) -> Callable[[Sequence[Tensor]], Tensor]:
        """The synthesis without gradients; a subclass whose network has a faster form has it."""

        def run(styles: Sequence[Tensor]) -> Tensor:
            network: StyleNetwork = self._networks(styles[0].dtype)
            return network.synthesis(styles, noise=self.noise)

        return run

    def inference(
        self, *, precision: Precision = "float32", space: str = "z"
    ) -> Callable[[Tensor], Tensor]:
        """The same images, faster where the network has a faster form; without gradients."""
        name = self.space(space).name
        synthesis = self.prepared(precision)

        def run(codes: Tensor) -> Tensor:
            with torch.inference_mode():
                self.check_shape(codes, name)
                styles = codes if name == "s" else self._map(codes, name, "s")
                return synthesis(torch.split(styles, list(self.network.style_sizes), 1))

        return run

    def truncate(
        self, ws: Float[Tensor, "n layers w"], psi: float, *, cutoff: int | None = None
    ) -> Float[Tensor, "n layers w"]:
        """Pull w+ codes toward the mean w by ψ, on the first `cutoff` slots.

        Source: StyleGAN (Karras et al. 2019, arXiv:1812.04948), section B.
        """
        cutoff = self.truncation_cutoff if cutoff is None else cutoff
        pulled = self.network.w_avg.to(ws).lerp(ws, psi)
        if cutoff is None:
            return pulled
        return torch.cat([pulled[:, :cutoff], ws[:, cutoff:]], 1)

    def style_matrices(self, layers: tuple[int, ...] | None = None) -> list[Tensor]:
        """The weights `[channels, w_dim]` of the affine layers, or of those chosen.

        Raises:
            LatdirError: A layer it does not have.
        """
        count = len(self.network.style_sizes)
        chosen = range(count) if layers is None else layers
        wrong = [i for i in chosen if not 0 <= i < count]
        if wrong:
            raise SpaceError(f"{self.name} has style layers 0 … {count - 1}, not {wrong[0]}")
        return [self.network.affine(i).weight for i in chosen]

    @property
    def style_slots(self) -> tuple[int, ...]:
        """For each affine layer, the layer of w+ codes it reads."""
        return self.network.style_slots

    @property
    def style_names(self) -> tuple[str, ...]:
        """For each affine layer, its name, such as `b16.conv0`."""
        return self.network.style_names


def _next_space(here: str, target: str) -> str:
    """The next space on the path, by exact maps where they exist."""
    single = ("w", "p", "pn")
    match here:
        case "z":
            return "w"
        case "pn":
            return "p"
        case "p":
            return "pn" if target == "pn" else "w"
        case "w":
            return "p" if target in single else "w+"
        case "pn+":
            return "w+"
        case "w+":
            return "w" if target in single else target
        case _:
            return "w" if target in single else "w+"
