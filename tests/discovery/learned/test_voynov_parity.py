"""Deformators, reconstructors, shifts and training steps against the official code's numbers."""

from __future__ import annotations

import json
import math

import pytest
import torch
from safetensors.torch import load_file
from torch.nn.functional import pad

from directions.training import Checkpoint, fit
from discovery.learned.contrast import amounts, contrast_loss
from discovery.learned.networks.deformators import Fc, Linear, Ortho, Unit
from discovery.learned.networks.reconstructors import LeNet, ResNet18
from discovery.learned.voynov_babenko import Deformed
from tests.parity import fixture

LENET = {f"convnet.{4 * i}": f"convolutions.{i}" for i in range(3)}
LENET |= {f"convnet.{4 * i + 1}": f"norms.{i}" for i in range(3)}
LENET |= {"fc_logits": "direction", "fc_shift": "amount"}


@pytest.fixture(scope="module")
def official():
    folder = fixture("learned_voynov")
    cases = json.loads((folder / "config.json").read_text())["deformators"]
    return cases, load_file(folder / "reference.safetensors")


def near(got, expected, tolerance=1e-5):
    got, expected = got.detach().float(), expected.detach().float()
    bound = tolerance * max(1.0, float(expected.abs().max()))
    torch.testing.assert_close(got, expected, rtol=0, atol=bound)


def lenet(tensors, prefix, k, width):
    network = LeNet(k, width=width)
    renamed = {}
    for name in list(network.state_dict()):
        for theirs, ours in LENET.items():
            if name.startswith(f"{ours}."):
                renamed[name] = tensors[f"{prefix}.{theirs}{name.removeprefix(ours)}"]
    network.load_state_dict(renamed)
    return network


def made(case, kind, tensors):
    """The deformator of a case, and its parameters by the official names."""
    if kind == "FC":
        held = {n.removeprefix("fc."): t for n, t in tensors.items() if n.startswith("fc.")}
        found = Fc(24, 24, hidden=32, base=torch.eye(24))
        names = {f"fc{i + 1}": f"layers.{i}" for i in range(4)}
        names |= {f"bn{i + 1}": f"norms.{i}" for i in range(3)}
        state = {
            f"{ours}.{part}": held[f"{theirs}.{part}"]
            for theirs, ours in names.items()
            for part in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
            if f"{theirs}.{part}" in held
        }
        found.load_state_dict({**state, "base": torch.eye(24)})
        return found, {
            f"{t}.{p}": getattr(found.get_submodule(o), p)
            for t, o in names.items()
            for p in ("weight", "bias")
        }
    if kind == "ORTHO":
        found = Ortho(tensors[f"{case}.log_mat_half"].clone(), torch.eye(24))
        return found, {"log_mat_half": found.log}
    if kind == "ID":
        return Linear(torch.eye(24)), {}
    if kind == "RANDOM":
        return Linear(tensors[f"{case}.linear"].clone()), {}
    bias = tensors.get(f"{case}.linear.bias")
    weight = tensors[f"{case}.linear.weight"].clone()
    found = (Unit if kind == "PROJECTIVE" else Linear)(weight, bias)
    own = {"linear.weight": found.weight}
    return found, own if bias is None else {**own, "linear.bias": found.bias}


def test_deformators(official):
    cases, tensors = official
    assert len(cases) == 11
    for case, settings in cases.items():
        found, parameters = made(case, settings["type"], tensors)
        x = tensors[f"{case}.in"].clone().requires_grad_()
        size = settings["shift_dim"][0]

        def fitted(step, size=size):  # cut, or zeros appended
            return pad(step, (0, size - step.shape[1]))

        out = fitted(found.train()(x))
        near(out, tensors[f"{case}.out_train"])
        (out * tensors[f"{case}.probe"]).sum().backward()
        near(x.grad, tensors[f"{case}.grad_in"], 1e-4)
        for name, parameter in parameters.items():
            near(parameter.grad, tensors[f"{case}.grad.{name}"], 1e-4)
        near(fitted(found.eval()(x)), tensors[f"{case}.out_eval"])
    half = tensors["expm.in"]
    near(torch.matrix_exp(half), tensors["expm.out"])


def test_shifts(official):
    _, tensors = official
    draws = tensors["shifts.uniform.draws"]
    got = amounts(2 * draws - 1, reach=6.0, least=0.5)
    near(got, tensors["shifts.uniform.shift"])
    near(amounts(tensors["shifts.normal.draws"], reach=6.0, least=0.5),
         tensors["shifts.normal.shift"])  # fmt: skip
    basis = torch.zeros(64, 24).scatter(1, tensors["shifts.uniform.index"][:, None], got[:, None])
    near(basis, tensors["shifts.uniform.basis"])


def test_lenet_and_loss(official):
    _, tensors = official
    network = lenet(tensors, "lenet", 10, 2)
    x1, x2 = tensors["lenet.x1"].float(), tensors["lenet.x2"].float()
    index, shift = tensors["lenet.index"], tensors["lenet.shift"]
    for mode in ("eval", "train"):
        network.train(mode == "train")
        second = x2.clone().requires_grad_()
        logits, guess = network(x1, second)
        loss = contrast_loss(logits, guess, index, shift, weight=0.25)
        near(logits, tensors[f"lenet.{mode}.logits"])
        near(guess, tensors[f"lenet.{mode}.shift_pred"])
        near(loss, tensors[f"lenet.{mode}.loss"])
        network.zero_grad()
        loss.backward()
        near(network.direction[0].weight.grad, tensors[f"lenet.{mode}.grad_fc_logits_0_weight"],
             1e-4)  # fmt: skip
        near(second.grad, tensors[f"lenet.{mode}.grad_x2"], 1e-3)  # stored in half precision


def test_resnet(official):
    _, tensors = official
    network = ResNet18(10)
    heads = ("type_estimator", "shift_estimator")
    names = {
        n if n.startswith(heads) else f"features_extractor.{n}": n for n in network.state_dict()
    }
    keys = sorted([*names, "features_extractor.fc.weight", "features_extractor.fc.bias"])
    state = {}
    for n, key in enumerate(keys):
        if key not in names:  # the network's own last layer, whose output is thrown away
            continue
        shape = network.state_dict()[names[key]].shape
        if key.endswith("num_batches_tracked"):
            value = torch.zeros((), dtype=torch.long)
        elif key.endswith(("bias", "running_mean")):
            value = torch.zeros(shape)
        elif len(shape) == 1:
            value = torch.ones(shape)
        else:
            i = torch.arange(math.prod(shape), dtype=torch.float64)
            value = (0.05 * torch.sin(0.37 * i + n)).float().reshape(shape)
        state[names[key]] = value
    network.load_state_dict(state)
    for mode in ("eval", "train"):
        network.train(mode == "train")
        logits, guess = network(tensors["resnet.x1"].float(), tensors["resnet.x2"].float())
        near(logits, tensors[f"resnet.{mode}.logits"])
        near(guess, tensors[f"resnet.{mode}.shift_pred"])


@pytest.mark.parametrize("kind", ["linear", "proj", "ortho"])
def test_three_training_steps(official, kind):
    _, tensors = official
    held = {
        n.removeprefix(f"train.{kind}."): t
        for n, t in tensors.items()
        if n.startswith(f"train.{kind}.")
    }
    k = 24 if kind == "ortho" else 10
    renamed = {n.replace("deformator.", f"{kind}.", 1): t for n, t in held.items()}
    types = {"linear": "LINEAR", "proj": "PROJECTIVE", "ortho": "ORTHO"}
    found, parameters = made(kind, types[kind], renamed)
    mover, teller = Deformed(found, k), lenet(held, "predictor", k, 1)
    w, b = tensors["train.g.w"].float(), tensors["train.g.b"]
    losses = []

    def images(z):
        return torch.tanh(z @ w.T + b).reshape(-1, 3, 32, 32)

    def loss(step):
        z, index, shift = (held[f"{part}.{step}"] for part in ("z", "index", "shift"))
        logits, guess = teller(images(z), images(mover(z, index, shift)))
        whole = contrast_loss(logits, guess, index, shift, weight=0.25)
        ce = contrast_loss(logits, guess, index, shift, weight=0.0)
        losses.append(torch.stack([ce, (whole - ce) * 4, whole]).detach())
        return whole

    both = torch.nn.ModuleList([mover, teller])
    adam = torch.optim.Adam(both.parameters(), lr=1e-4)
    fit(both, loss, adam, steps=3, checkpoint=Checkpoint(None, {}))
    near(torch.stack(losses), held["losses"])
    for name, parameter in parameters.items():
        near(parameter, held[f"deformator_after.{name}"], 1e-4)
    after = teller.state_dict()
    for name, tensor in after.items():
        for theirs, ours in LENET.items():
            key = f"predictor_after.{theirs}{name.removeprefix(ours)}"
            if name.startswith(f"{ours}.") and key in held:
                # A bias before a normalization has no gradient but rounding, of which each of
                # Adam's three steps makes 1e-4.
                near(tensor, held[key], 6e-4 if name.endswith(".0.bias") else 1e-4)
