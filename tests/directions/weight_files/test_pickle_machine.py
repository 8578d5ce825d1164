"""Hostile checkpoint files: nothing runs, memory stays near the file's size, errors say why."""

from __future__ import annotations

import io
import os
import pickle
import struct
import sys
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from directions import CheckpointError, LatdirError, load_generator
from directions.weight_files.contents import read_contents, read_value
from directions.weight_files.pickle_machine import Budget, unpickle
from directions.weight_files.pickle_objects import Storage
from directions.weight_files.torch_files import TABLE, read_legacy, read_zip
from tests.directions.generators.checkpoints import written


class _Runs:
    """Runs a command when an ordinary unpickler loads it."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch pwned",)


# A tuple of 2**200 leaves, as long as nobody walks or prints it.
ENDLESS = b"N" + b"\x94h\x00\x86" + b"".join(b"\x94h%c\x86" % i for i in range(1, 200))


def _load(data: bytes) -> Any:
    return unpickle(memoryview(bytearray(data)), 0, TABLE, Budget(len(data)))[0]


def _refused(data: bytes, match: str) -> None:
    with pytest.raises(LatdirError, match=match):
        _load(data)


SYSTEM = rf"asks for '{os.system.__module__}\.system', which no checkpoint needs: .*nothing.* run"


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_call_in_the_outer_pickle_is_refused_by_name(
    protocol: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "network.pkl"
    state = written.stylegan2_state()
    module = written.nvidia_module(state, kwargs={}, attributes={"": {"extra": _Runs()}})
    written.nvidia_file(module, path, protocol=protocol)
    with pytest.raises(LatdirError, match=rf"network\.pkl cannot be loaded: it {SYSTEM}"):
        load_generator(path)
    assert not Path("pwned").exists()


@pytest.mark.parametrize("zipped", [False, True])
def test_a_call_in_a_torch_file_is_refused_by_name(zipped: bool, tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    torch.save({"g_ema": _Runs()}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(LatdirError, match=SYSTEM):
        load_generator(path)


class _Nested:
    def __init__(self, data: bytes) -> None:
        self.data = data

    def __reduce__(self) -> tuple[Any, ...]:
        return torch.storage._load_from_bytes, (self.data,)


@pytest.mark.parametrize("zipped", [False, True])
def test_a_call_in_the_bytes_of_a_nested_storage_is_refused_by_name(zipped: bool) -> None:
    file = io.BytesIO()
    torch.save(_Runs(), file, _use_new_zipfile_serialization=zipped)
    _refused(pickle.dumps({"x": _Nested(file.getvalue())}, protocol=4), SYSTEM)


def test_a_nested_storage_holds_a_storage_and_no_other_one() -> None:
    inner = written.legacy_bytes({"not": "a storage"})
    _refused(pickle.dumps(_Nested(inner)), "has a dict where a tensor's numbers are needed")
    again = written.legacy_bytes({"deeper": _Nested(inner)})
    _refused(pickle.dumps(_Nested(again)), "storages within storages")


@pytest.mark.parametrize(
    "name", ["builtins.eval", "builtins.getattr", "torch.load", "torch.hub.load", "numpy.load"]
)
def test_names_of_modules_that_checkpoints_use_are_no_more_welcome(name: str) -> None:
    module, _, function = name.rpartition(".")
    data = b"\x80\x04c" + f"{module}\n{function}\n".encode() + b"."
    _refused(data, f"asks for '{name}', which no checkpoint needs")


def test_dotted_names_reach_nothing() -> None:
    data = b"\x80\x04\x8c\x05torch\x8c\x0eSize.__class__\x93."
    _refused(data, r"asks for 'torch\.Size\.__class__'")


def test_an_object_of_the_file_cannot_be_called_or_given_a_state() -> None:
    _refused(b"\x80\x04}).R.", "is damaged|calls something")
    _refused(b"\x80\x04})R.", "calls something that is not a function")
    _refused(b"\x80\x04]}b.", "sets the state of a list")


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x04" + b"(" * 400_000,
        b"\x80\x04" + b"\x8f" * 400_000,
        b"\x80\x04" + b"}" * 400_000,
        b"\x80\x04]" + b"\x94" * 400_000,
        b"\x80\x04" + b"}K\x01Ns" * 200_000,
    ],
    ids=["marks", "sets", "dictionaries", "memo", "filled dictionaries"],
)
def test_opcodes_that_make_much_of_little_are_refused(data: bytes) -> None:
    _refused(data, "unpacks to far more than the file's own size")


def test_billions_of_nested_references_stay_references() -> None:
    value = _load(b"\x80\x04" + ENDLESS + b".")
    assert isinstance(value, tuple)
    _refused(b"\x80\x04}" + ENDLESS + b"Ns.", "has a tuple as a key")


@pytest.mark.parametrize(
    "content",
    [
        b"ctorch._utils\n_rebuild_tensor_v2\n(ctorch\nFloatStorage\nK\x00" + ENDLESS + b"K\x00tR",
        b"ctorch\nSize\n" + ENDLESS + b"\x85\x85R",
        b"}\x8c\x01x" + ENDLESS + b"s",
        b"}\x8c\x05G_emactorch_utils.persistence\n_reconstruct_persistent_obj\n"
        b"}(\x8c\x0aclass_name" + ENDLESS + b"\x8c\x05state}(\x8c\x08_modules}"
        b"\x8c\x0c_init_kwargs}\x8c\x01ah\x64suu\x85Rs",
    ],
    ids=["tensor", "size", "value", "class name and arguments"],
)
def test_endless_values_are_neither_walked_nor_printed(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.pkl").write_bytes(b"\x80\x04" + content + b".")
    with pytest.raises(LatdirError) as refusal:
        load_generator(tmp_path / "a.pkl")
    assert len(str(refusal.value)) < 500


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x7fN.", "cut off"),
        (b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7fab.", "cut off"),
        (b"\x80\x04\x8d\xff\xff\xff\xff\x00\x00\x00\x00ab.", "cut off"),
        (b"\x80\x04\x8b\xff\xff\xff\x7f.", "integer of 2147483647 bytes"),
        (b"\x80\x04Nr\xff\xff\xff\x7fN.", "damaged near byte"),
        (b"\x80\x04h\x05.", "damaged near byte"),
        (b"\x80\x04(", "cut off"),
        (b"\x80\x04", "cut off"),
        (b"\x80\x06N.", "protocol 6; 2 to 5"),
        (b"\x80\x00N.", "protocol 0; 2 to 5"),
        (b"\x80\x04I5\n.", "opcode 0x49 at byte 2"),
        (b"\x80\x04(i__main__\nx\n.", "opcode 0x69"),
        (b"\x80\x04\x82\x01.", "opcode 0x82"),
        (b"\x80\x04\x97.", "opcode 0x97"),
        (b"\x80\x04NQ.", "refers to objects outside"),
        (b"\x80\x04c" + b"a" * 300 + b"\nb\n.", "damaged"),
    ],
)
def test_damaged_and_unwanted_opcodes_say_what_they_are(data: bytes, match: str) -> None:
    _refused(data, match)


def test_deep_nesting_is_only_deep() -> None:
    value = _load(b"\x80\x04" + b"]" + b"\x85" * 30_000 + b".")
    assert isinstance(value, tuple)


def test_modules_that_contain_themselves_are_refused(tmp_path: Path) -> None:
    # The state's dictionary of parts is in the memo before the module is among its values.
    data = (
        b"\x80\x04}\x8c\x05G_ema"
        b"ctorch_utils.persistence\n_reconstruct_persistent_obj\n"
        b"}(\x8c\x05state}\x8c\x08_modules}\x94su\x85R\x94"
        b"h\x00\x8c\x01mh\x01s0s."
    )
    (tmp_path / "a.pkl").write_bytes(data)
    with pytest.raises(LatdirError, match="modules are nested too deeply"):
        load_generator(tmp_path / "a.pkl")


def _tensor_pickle(shape: Any, stride: Any, *, offset: Any = 0, count: Any = 4) -> bytes:
    """A torch file whose one tensor has this shape, with a storage of four floats."""
    file = io.BytesIO()
    torch.save({"x": torch.zeros(4)}, file, _use_new_zipfile_serialization=False)
    data = file.getvalue()

    class Tensor:
        def __reduce__(self) -> tuple[Any, ...]:
            arguments = (_Place(), offset, shape, stride, False, {})
            return torch._utils._rebuild_tensor_v2, arguments

    class _Place:
        pass

    class Pickler(pickle.Pickler):
        def persistent_id(self, obj: Any) -> Any:
            if isinstance(obj, _Place):
                return ("storage", torch.FloatStorage, "0", "cpu", count)
            return None

    out = io.BytesIO()
    out.write(data[: _third_pickle(data)])
    Pickler(out, protocol=2).dump({"x": Tensor()})
    out.write(pickle.dumps(["0"], protocol=2))
    out.write(struct.pack("<q", 4) + bytes(16))
    return out.getvalue()


def _third_pickle(data: bytes) -> int:
    file = io.BytesIO(data)
    for _ in range(3):
        pickle.load(file)
    return file.tell()


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (((2**20, 2**20), (0, 0)), "does not fit its storage of 4 elements"),
        (((5,), (1,)), "does not fit its storage of 4"),
        (((2,), (4,)), "does not fit its storage of 4"),
        (((2, 2), (2,)), "strides"),
        (((-1,), (1,)), "shape"),
        (((2,), (-1,)), "shape"),
        (((2**62, 2**62), (1, 1)), "shape"),
        (((True,), (1,)), "shape"),
        (([2], [1]), "no proper shape"),
    ],
)
def test_a_tensor_beyond_its_storage_is_refused(arguments: tuple[Any, Any], match: str) -> None:
    data = memoryview(bytearray(_tensor_pickle(*arguments)))
    with pytest.raises(LatdirError, match=match):
        read_legacy(data, Budget(len(data)))


def test_a_tensor_within_its_storage_is_what_torch_makes_of_it() -> None:
    data = memoryview(bytearray(_tensor_pickle((2, 1), (2, 1), offset=1)))
    view = read_legacy(data, Budget(len(data)))["x"]
    torch.testing.assert_close(view.tensor(), torch.zeros(2, 1))


@pytest.mark.parametrize("offset", [4, -1, "0", 2**70])
def test_an_offset_beyond_its_storage_is_refused(offset: Any) -> None:
    data = memoryview(bytearray(_tensor_pickle((1,), (1,), offset=offset)))
    with pytest.raises(LatdirError, match=r"shape|does not fit"):
        read_legacy(data, Budget(len(data)))


@pytest.mark.parametrize("count", [2**40, -1, "4", None])
def test_a_storage_larger_than_the_file_is_refused(count: Any) -> None:
    data = memoryview(bytearray(_tensor_pickle((1,), (1,), count=count)))
    with pytest.raises(LatdirError, match=r"cut off|damaged|does not fit"):
        read_legacy(data, Budget(len(data)))


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "?", ">f4"])
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_numpy_arrays_of_numbers_come_back(dtype: str, protocol: int) -> None:
    array = np.arange(6).reshape(2, 3).astype(dtype)
    for given in (array, np.asfortranarray(array), array[::-1], array.transpose()):
        got = _load(pickle.dumps(given, protocol=protocol)).tensor()
        np.testing.assert_array_equal(got.numpy(), given)
    assert _load(pickle.dumps(array[1, 2], protocol=protocol)) == array[1, 2]


def test_both_names_of_numpys_core_are_known() -> None:
    data = pickle.dumps(np.arange(3.0), protocol=4)
    old = data.replace(b"\x8c\x16numpy._core.multiarray", b"\x8c\x15numpy.core.multiarray")
    new = data.replace(b"\x8c\x15numpy.core.multiarray", b"\x8c\x16numpy._core.multiarray")
    assert (old != data) != (new != data)
    for named in (old, new):
        # The frame's length is a bound, not a count.
        np.testing.assert_array_equal(_load(_unframed(named)).tensor(), [0, 1, 2])


def _unframed(data: bytes) -> bytes:
    return data[:2] + data[11:] if data[2:3] == b"\x95" else data


def test_numpy_arrays_of_objects_and_wrong_sizes_are_refused() -> None:
    _refused(pickle.dumps(np.array([{}], dtype=object)), "holds objects, not numbers")
    _refused(pickle.dumps(np.array(["text"])), "not numbers")
    data = pickle.dumps(np.zeros((2, 3), np.float64), protocol=2)
    _refused(data.replace(b"K\x02K\x03\x86", b"K\x02K\x04\x86"), r"shape \[2, 4\] has 48 bytes")


def _archive(members: dict[str, bytes], *, compression: int = zipfile.ZIP_STORED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        for name, content in members.items():
            # Of a date of its own, not of now: the bytes are part of the tests' names.
            archive.writestr(zipfile.ZipInfo(name), content, compress_type=compression)
    return out.getvalue()


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (_archive({"a/data.pkl": bytes(10**6)}, compression=zipfile.ZIP_DEFLATED), "own size"),
        (_archive({"a/data.pkl": b"N."}, compression=zipfile.ZIP_DEFLATED), "is compressed"),
        (_archive({"a/x.npy": b"N."}), "not one that torch.save made"),
        (_archive({"a/data.pkl": b"N.", "a/constants.pkl": b""}), "TorchScript .*state_dict"),
        (_archive({"a/data.pkl": b"N.", "a/byteorder": b"big"}), "big-endian"),
        (_archive({"a/data.pkl": b"N."})[:-30], "cut off or damaged"),
        (_archive({"a/data.pkl": b"\x80\x02N."}).replace(b"\x80\x02N.", b"\x80\x02K."), "damaged"),
    ],
)
def test_archives_that_torch_did_not_write_are_refused(data: bytes, match: str) -> None:
    view = memoryview(bytearray(data))
    with pytest.raises(LatdirError, match=match):
        read_zip(view, Budget(len(data)))


def test_many_views_of_one_storage_cannot_multiply_it(tmp_path: Path) -> None:
    block = torch.zeros(1000)
    torch.save({f"synthesis.x{i}": block[:999] for i in range(100)}, tmp_path / "a.pt")
    with pytest.raises(LatdirError, match="tensors together are larger than the file"):
        load_generator(tmp_path / "a.pt")


def test_shapes_of_a_few_small_tensors_cannot_make_a_large_network(tmp_path: Path) -> None:
    state = written.stylegan2_state()
    for key in ("synthesis.b8.conv1.weight", "synthesis.b16.conv1.weight"):
        state[key] = torch.zeros(200_000, 1, 1, 1)
    torch.save(state, tmp_path / "a.pt")
    with pytest.raises(
        LatdirError, match=r"\(StyleGAN2\) cannot be loaded: .*do not fit each other"
    ):
        load_generator(tmp_path / "a.pt")


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "it is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "run git lfs pull"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"\x89PNG\r\n\x1a\n", "neither a torch file, a pickle"),
        (b"\x1f\x8b\x08\x00", "neither a torch file, a pickle"),
        (struct.pack("<Q", 2**40) + b'{"a": 1}', "neither a torch file"),
        (struct.pack("<Q", 8) + b'{"a": 1}x', "damaged safetensors"),
        (pickle.dumps({"a": 1}), "no tensors by name: it holds a"),
        (pickle.dumps([1, 2]), "holds a list, not a state dict"),
        (pickle.dumps({"weight": np.zeros(3)}), "of no family known here: there are StyleGAN3"),
        (pickle.dumps({"weight": np.full(3, np.nan)}), "'weight' has NaN"),
    ],
)
def test_what_is_no_checkpoint_says_what_it_is(content: bytes, match: str, tmp_path: Path) -> None:
    path = tmp_path / "a.pkl"
    path.write_bytes(content)
    with pytest.raises(LatdirError, match=match):
        load_generator(path)


def test_a_missing_or_foreign_key_is_named_with_the_family(tmp_path: Path) -> None:
    state = written.stylegan2_state()
    torch.save({**state, "synthesis.b16.extra": torch.zeros(1)}, tmp_path / "a.pt")
    with pytest.raises(
        LatdirError, match=r"\(StyleGAN2\) cannot be loaded: .*'synthesis\.b16\.extra'"
    ):
        load_generator(tmp_path / "a.pt")
    del state["synthesis.b8.conv0.bias"]
    torch.save(state, tmp_path / "a.pt")
    with pytest.raises(
        LatdirError, match=r"\(StyleGAN2\) cannot be loaded: .*'synthesis\.b8\.conv0\.bias'"
    ):
        load_generator(tmp_path / "a.pt")


def test_a_whole_module_is_refused_with_its_class(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(2, 2), tmp_path / "a.pt")
    with pytest.raises(LatdirError, match=r"asks for 'torch\.nn\.modules\.linear\.Linear'"):
        load_generator(tmp_path / "a.pt")


def test_loading_a_file_imports_nothing_that_it_names(tmp_path: Path) -> None:
    state = written.stylegan2_state()
    path = written.nvidia_file(written.nvidia_module(state, kwargs={}), tmp_path / "a.pkl")
    load_generator(path)
    assert not {"dnnlib", "torch_utils", "tfutil"} & set(sys.modules)


def test_storages_are_views_of_the_file() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = bytearray(written.legacy_bytes(torch.arange(4.0).storage()))
    storage = read_legacy(memoryview(data), Budget(len(data)))
    assert type(storage) is Storage
    data[-16:] = struct.pack("<4f", 5, 6, 7, 8)
    assert storage.data is not None
    assert struct.unpack("<4f", storage.data) == (5, 6, 7, 8)


SCRIPTED = (
    b"\x80\x02c__torch__.Net\nNet\n)\x81}(X\x01\x00\x00\x00w"
    b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\n"
    b"X\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x02tQK\x00K\x02\x85K\x01\x85\x89}tR"
    b"X\x04\x00\x00\x00sizectorch.jit._pickle\nbuild_intlist\n](K\x02K\x03e\x85Rub."
)


def test_a_scripted_archive_gives_tensors_and_only_where_it_is_asked_for(tmp_path: Path) -> None:
    numbers = struct.pack("<2f", 1.0, 2.0)
    members = {"a/data.pkl": SCRIPTED, "a/constants.pkl": b"", "a/data/0": numbers}
    path = tmp_path / "a.pt"
    path.write_bytes(_archive(members))
    found = read_contents(path, scripted=True)
    assert found.writer == "TorchScript"
    assert {k: v.tolist() for k, v in found.state.items()} == {"w": [1.0, 2.0]}
    with pytest.raises(CheckpointError, match="TorchScript archive, which is a program"):
        read_contents(path)
    # Its names are known in a scripted archive only.
    path.write_bytes(_archive({k: v for k, v in members.items() if "constants" not in k}))
    with pytest.raises(CheckpointError, match=r"asks for '__torch__\.Net\.Net'"):
        read_contents(path, scripted=True)


def test_a_value_is_dictionaries_of_tensors_that_are_no_larger_than_the_file(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.pt"
    weight = torch.arange(6.0).reshape(2, 3)
    torch.save({"a": {"b": weight.T}, "n": np.arange(3), "t": "text"}, path)
    value = read_value(path)
    assert torch.equal(value["a"]["b"], weight.T)
    assert value["n"].tolist() == [0, 1, 2]
    assert value["t"] == "text"
    shared = torch.zeros(10_000)
    torch.save({str(i): shared[i:] for i in range(9)}, path)
    with pytest.raises(CheckpointError, match="larger than the file"):
        read_value(path)
