"""Published flows against the official code's numbers, and their files."""

from __future__ import annotations

import math

import pytest
import torch
from safetensors.torch import load_file, save_file

from directions.errors import LatdirError
from directions.paths.flows.published import PluGeNFlow, StyleFlow, load_plugen, load_styleflow
from tests.parity import fixture


def near(got, expected, tolerance):
    bound = tolerance * max(1.0, float(expected.abs().max()))
    torch.testing.assert_close(got, expected, rtol=0, atol=bound)


def under(tensors, prefix):
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}


def test_styleflow_is_the_official_one(tmp_path):
    tensors = load_file(fixture("learned_styleflow") / "reference.safetensors")
    state = under(tensors, "flow.")
    torch.save({f"module.{n}": t for n, t in state.items()}, tmp_path / "flow.pt")
    flow = load_styleflow(tmp_path / "flow.pt")
    assert (flow.size, flow.conditions) == (12, 5)
    w, c, target = tensors["w"], tensors["c"][..., 0, 0], tensors["c_target"][..., 0, 0]
    z, less = flow.forward(w, c)
    near(z, tensors["eval.exact.z"], 1e-4)
    near(less[..., None], tensors["eval.exact.delta_logp"], 1e-4)
    normal = torch.distributions.Normal(0, 1).log_prob(z).sum((1, 2))
    # The official code takes the constant of all 12 dimensions off at each of 36 numbers.
    surplus = 36 * 11 * math.log(2 * math.pi) / 2
    near((normal - less.sum(1) - surplus)[:, None], tensors["eval.exact.logp"], 1e-4)
    near(flow.inverse(z, c), w, 1e-5)
    near(flow.inverse(tensors["eval.exact.z"], c), tensors["eval.back"], 1e-3)
    near(flow.edit(w, c, target), tensors["eval.edited_tight"], 1e-4)
    near(flow.edit(w, c, target), tensors["eval.edited"], 1e-3)
    one = flow.edit(w[1:2], c[1:2], target[1:2])
    near(one, flow.edit(w, c, target)[1:2], 1e-6)
    near(flow.edit(w[:, 0], c, target), flow.edit(w, c, target)[:, 0], 1e-6)
    with pytest.raises(LatdirError, match=r"takes codes \[n, …, 12\] and attributes \[n, 5\], not"):
        flow.forward(w, c[:, :4])
    with pytest.raises(
        LatdirError, match=r"not the weights of a StyleFlow: chain\.2\.running_mean is"
    ):
        StyleFlow({n: t for n, t in state.items() if not n.startswith("chain.2")})


def test_styleflow_s_log_density_is_that_of_its_jacobian():
    tensors = load_file(fixture("learned_styleflow") / "reference.safetensors")
    flow = StyleFlow(under(tensors, "flow."))
    w, c = tensors["w"][:1, 0].double(), tensors["c"][:1, :, 0, 0].double()
    jacobian = torch.autograd.functional.jacobian(lambda x: flow.forward(x, c)[0], w)[0, :, 0]
    near(-torch.linalg.slogdet(jacobian)[1], flow.forward(w, c)[1][0], 1e-5)


def test_plugen_is_the_official_one(tmp_path):
    tensors = load_file(fixture("learned_plugen") / "reference.safetensors")
    const = under(tensors, "const.")
    state = {n: t for n, t in const.items() if n.startswith("coupling_layers.")}
    save_file(state, tmp_path / "flow.safetensors")
    flow = load_plugen(tmp_path / "flow.safetensors")
    w = const["w"].clone()
    near(flow.forward(w), const["z"], 1e-5)
    near(flow.inverse(const["z"]), const["back"], 1e-5)
    near(flow.edit(w, {1: 1.0}), const["edited"], 1e-5)
    assert torch.equal(w, const["w"])  # which the official code may write into
    assert float(const["logdet_accumulated"]) == 0
    with pytest.raises(LatdirError, match="takes codes of 16 numbers, not"):
        flow.forward(torch.zeros(2, 15))
    variable = under(tensors, "variable.")
    scaled = {n: t for n, t in variable.items() if n.startswith("coupling_layers.")}
    with pytest.raises(LatdirError, match=r"couplings that scale .*, whose official code takes a"):
        PluGeNFlow(scaled)
    with pytest.raises(LatdirError, match="not the weights of a PluGeN: coupling_layers"):
        PluGeNFlow({})
