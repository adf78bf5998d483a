"""Weights are taken out of containers that name foreign or hostile objects, and nothing of these is run."""

from __future__ import annotations

import os
import pickle
import sys
import types
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hilum.checkpoints import read_container
from hilum.errors import CheckpointError


class RunsOnLoad:
    """What an attacker puts in a file: unpickling it calls a function of the attacker's choice."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


def weights() -> OrderedDict[str, torch.Tensor]:
    state = OrderedDict(a=torch.arange(6.0).reshape(2, 3), b=torch.tensor([1, 2]), half=torch.ones(3).half())
    state["part"] = state["a"][:, 1:]  # a view of the same storage
    state["turned"] = state["a"].T
    state["parameter"] = torch.nn.Parameter(torch.full((2,), 3.0))
    state["flag"] = torch.tensor([True, False])
    state["empty"] = torch.zeros(0, 4)
    state["repeated"] = torch.arange(5.0).unfold(0, 3, 1)
    state["scalar"] = torch.tensor(2.5)
    return state


@pytest.mark.parametrize("zipped", [True, False])
def test_tensors_are_those_that_were_saved_in_either_format(tmp_path: Path, zipped: bool) -> None:
    saved, path = weights(), tmp_path / "a.ckpt"
    torch.save({"state_dict": saved, "epoch": 3, "options": {"lr": 1e-4}}, path, _use_new_zipfile_serialization=zipped)
    container = read_container(path)
    assert container.names == ("state_dict", "epoch", "options")
    got = container.tensors("state_dict")
    assert list(got) == list(saved)
    for name, tensor in saved.items():
        assert got[name].dtype == tensor.dtype
        assert torch.equal(got[name], tensor.detach())
    assert container.plain("epoch") == 3
    assert container.plain("options") == {"lr": 1e-4}
    assert container.plain("absent") is None
    assert not container.is_state_dict


def test_a_bare_state_dict_is_read_as_a_whole(tmp_path: Path) -> None:
    torch.save(weights(), tmp_path / "a.pt")
    container = read_container(tmp_path / "a.pt")
    assert container.is_state_dict
    assert torch.equal(container.tensors()["a"], weights()["a"])


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_file_is_not_run_and_the_weights_still_load(tmp_path: Path, zipped: bool) -> None:
    witness = tmp_path / "it_ran"
    content = {
        "state_dict": weights(),
        "hyper_parameters": {
            "lr": 0.1,
            "deep": [{"nested": RunsOnLoad(os.system, f"touch {witness}")}],
            "evaluated": RunsOnLoad(eval, f"open({str(witness)!r}, 'w')"),
        },
        "callbacks": RunsOnLoad(exec, f"open({str(witness)!r}, 'w')"),
        "imported": RunsOnLoad(__import__, "this"),
    }
    sys.modules.pop("this", None)
    torch.save(content, tmp_path / "evil.ckpt", _use_new_zipfile_serialization=zipped)
    container = read_container(tmp_path / "evil.ckpt")
    assert torch.equal(container.tensors("state_dict")["a"], weights()["a"])
    assert container.plain("hyper_parameters") == {"lr": 0.1, "deep": [{}]}
    assert container.plain("callbacks") is None
    assert not witness.exists()
    assert "this" not in sys.modules
    assert any("system" in name for name in container.foreign)


def test_code_among_the_weights_is_refused_by_name(tmp_path: Path) -> None:
    witness = tmp_path / "it_ran"
    state = {"a": torch.ones(2), "b": RunsOnLoad(os.system, f"touch {witness}")}
    torch.save({"state_dict": state}, tmp_path / "evil.ckpt")
    with pytest.raises(CheckpointError, match=r"'b' under 'state_dict' is an object of \w+\.system"):
        read_container(tmp_path / "evil.ckpt").tensors("state_dict")
    assert not witness.exists()


def test_an_object_of_a_package_that_is_not_installed_is_left_out(tmp_path: Path) -> None:
    module = types.ModuleType("omegaconf_of_2020")

    class DictConfig(dict):  # type: ignore[type-arg]
        """With state, items and a list, as configurations are pickled."""

    DictConfig.__module__, DictConfig.__qualname__ = "omegaconf_of_2020", "DictConfig"
    module.DictConfig = DictConfig  # type: ignore[attr-defined]
    sys.modules["omegaconf_of_2020"] = module
    try:
        config = DictConfig(lr=1)
        config.parent = [config]  # type: ignore[attr-defined]
        torch.save(
            {"state_dict": weights(), "hyper_parameters": config, "kind": DictConfig, "epoch": 1}, tmp_path / "a.ckpt"
        )
    finally:
        del sys.modules["omegaconf_of_2020"]
    container = read_container(tmp_path / "a.ckpt")
    assert torch.equal(container.tensors("state_dict")["a"], weights()["a"])
    assert container.foreign == ("omegaconf_of_2020.DictConfig",)
    assert container.plain("hyper_parameters") is None
    assert container.plain("epoch") == 1


def test_plain_values_that_hold_each_other_many_times_do_not_multiply(tmp_path: Path) -> None:
    bomb: list[Any] = [1]
    for _ in range(60):
        bomb = [bomb, bomb]
    torch.save({"state_dict": weights(), "config": {"bomb": bomb}}, tmp_path / "a.ckpt")
    assert read_container(tmp_path / "a.ckpt").plain("config")["bomb"]


def rewritten(source: Path, target: Path, change: Any) -> None:
    """The archive with its pickle changed."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for entry in old.infolist():
            content = old.read(entry)
            new.writestr(entry.filename, change(content) if entry.filename.endswith("data.pkl") else content)


class Recorded:
    """Writes the call of a torch function into a pickle, with arguments that torch.save would never write."""

    def __init__(self, size: tuple[int, ...], stride: tuple[int, ...], offset: int, state: Any = None) -> None:
        self.view, self.state = (offset, size, stride), state

    def __reduce__(self) -> Any:
        offset, size, stride = self.view
        call = (torch._utils._rebuild_tensor_v2, (Storage(), offset, size, stride, False, OrderedDict()))
        return (*call, self.state) if self.state else call


class Storage:
    """A storage of four numbers, written as torch does."""


def pickled(content: Any) -> bytes:
    import io

    class Writer(pickle.Pickler):
        def persistent_id(self, value: Any) -> Any:
            return ("storage", torch.FloatStorage, "0", "cpu", 4) if isinstance(value, Storage) else None

    out = io.BytesIO()
    Writer(out, protocol=2).dump(content)
    return out.getvalue()


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (Recorded((5,), (1,), 0), "reaches past"),
        (Recorded((2,), (1,), 3), "reaches past"),
        (Recorded((10**9,), (0,), 0), "of 4 numbers, repeated"),
        (Recorded((2,), (-1,), 3), "without storage"),
        (Recorded((2, 2), (1,), 0), "without storage"),
        (Recorded((2,), (1,), 0, {"size": (10**9,)}), "cut short"),
    ],
)
def test_a_tensor_that_reaches_past_its_numbers_is_refused(tmp_path: Path, record: Recorded, reason: str) -> None:
    torch.save({"state_dict": {"a": torch.ones(4)}}, tmp_path / "a.pt")
    rewritten(tmp_path / "a.pt", tmp_path / "b.pt", lambda _: pickled({"state_dict": {"a": record}}))
    with pytest.raises(CheckpointError, match=reason):
        read_container(tmp_path / "b.pt").tensors("state_dict")


def test_a_file_cut_short_or_compressed_is_refused(tmp_path: Path) -> None:
    torch.save({"state_dict": weights()}, tmp_path / "a.pt")
    whole = (tmp_path / "a.pt").read_bytes()
    (tmp_path / "short.pt").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match="cut short"):
        read_container(tmp_path / "short.pt")
    with (
        zipfile.ZipFile(tmp_path / "a.pt") as old,
        zipfile.ZipFile(tmp_path / "z.pt", "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for entry in old.infolist():
            new.writestr(entry.filename, old.read(entry))
    with pytest.raises(CheckpointError, match="compressed entries"):
        read_container(tmp_path / "z.pt")
    torch.save({"state_dict": weights()}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    (tmp_path / "old.pt").write_bytes((tmp_path / "old.pt").read_bytes()[:-8])
    with pytest.raises(CheckpointError, match="cut short"):
        read_container(tmp_path / "old.pt").tensors("state_dict")


def test_what_is_asked_for_and_not_there_is_named(tmp_path: Path) -> None:
    torch.save({"model": weights(), "epoch": 1}, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match="expected an entry 'state_dict', got a dictionary with model, epoch"):
        read_container(tmp_path / "a.pt").tensors("state_dict")
    with pytest.raises(CheckpointError, match=r"expected a state dict .* got a int"):
        read_container(tmp_path / "a.pt").tensors("epoch")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.binary(max_size=200))
def test_any_pickle_gives_values_or_a_named_error(tmp_path: Path, body: bytes) -> None:
    path = tmp_path / "any.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("any/data.pkl", b"\x80\x02}" + body + b".")
    try:
        container = read_container(path)
        for name in container.names:
            container.plain(name)
    except CheckpointError:
        return
    assert container.path == path
