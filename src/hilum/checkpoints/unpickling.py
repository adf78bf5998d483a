"""A pickle read as data: tensors and plain values are rebuilt, every other object becomes an empty stand-in.

No class or function that a file names is looked up, imported or called, whatever the file says: the few names that tensors
and state dicts need are answered by this module, and all others by a fresh class of `Foreign` that takes anything and keeps
nothing. The state of a foreign object is read past, not kept.
"""

from __future__ import annotations

import math
import pickle
from collections import OrderedDict
from collections.abc import Callable
from typing import IO, Any, NamedTuple

DTYPES = {
    "FloatStorage": "float32",
    "DoubleStorage": "float64",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
    "UntypedStorage": "uint8",
}


# Numbers in tensors that repeat what is stored; without a limit, one number could be made to fill the memory.
MOST_EXPANDED = 1 << 28


# Named tuples, because the machine can change neither them nor what hangs on them.
class StoredBytes(NamedTuple):
    """Where a tensor's numbers lie: the record's key, the name of their type, and how many there are."""

    key: str
    dtype: str
    length: int


class StoredTensor(NamedTuple):
    """A tensor that has not been read yet: a view of stored bytes, checked to lie inside."""

    bytes: StoredBytes
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


class Foreign:
    """Stands for an object of another package; holds nothing.

    Attributes:
        named: module and name of its class, as the file gives them.
    """

    named = ""

    def __new__(cls, *_: Any, **__: Any) -> Foreign:
        return object.__new__(cls)

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    # What the pickle machine may do to an object: fill it. Nothing is kept.
    def __setstate__(self, _: Any) -> None:
        pass

    def __setitem__(self, _: Any, __: Any) -> None:
        pass

    def append(self, _: Any) -> None:
        """Keep nothing."""

    def extend(self, _: Any) -> None:
        """Keep nothing."""

    def add(self, _: Any) -> None:
        """Keep nothing."""


# The machine written in Python: the C one makes a table as large as the largest memo number that a file names.
class DataUnpickler(pickle._Unpickler):
    """Reads one pickle of a checkpoint. After `load`, `stored` has every storage by key and `foreign` what was left out."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(file, encoding="utf-8")
        self.stored: dict[str, StoredBytes] = {}
        self.foreign: set[str] = set()
        self._expanded = 0

    def find_class(self, module: str, name: str) -> Any:
        """What stands for a name: never the thing itself, but for four harmless containers."""
        if module == "torch._utils" and name in ("_rebuild_tensor", "_rebuild_tensor_v2"):
            return _Call(self._tensor)
        if module == "torch._utils" and name in ("_rebuild_parameter", "_rebuild_parameter_with_state"):
            return _Call(_parameter)
        if module in ("torch", "torch.storage") and name in DTYPES:
            return _StorageType(DTYPES[name])
        if (module, name) in (("torch", "Size"), ("builtins", "tuple"), ("__builtin__", "tuple")):
            return _Call(tuple)
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if module in ("builtins", "__builtin__") and name in ("set", "frozenset"):
            return set if name == "set" else frozenset
        self.foreign.add(f"{module}.{name}")
        return type("Foreign", (Foreign,), {"named": f"{module}.{name}"})

    def persistent_load(self, pid: Any) -> StoredBytes:
        """The storage that a tensor's record names."""
        if not isinstance(pid, tuple) or len(pid) < 5 or pid[0] != "storage" or not isinstance(pid[1], _StorageType):
            raise pickle.UnpicklingError("a record that is no storage")
        if len(pid) > 5 and pid[5] is not None:
            raise pickle.UnpicklingError("a storage that is a view of another")
        key, count = pid[2], pid[4]
        if not isinstance(key, str) or type(count) is not int or count < 0:
            raise pickle.UnpicklingError("a storage without key or size")
        found = StoredBytes(key, pid[1].dtype, count)
        if self.stored.setdefault(key, found) != found:
            raise pickle.UnpicklingError(f"storage {key} with two types or sizes")
        return found

    def _tensor(self, stored: Any, offset: Any, size: Any, stride: Any, *_: Any) -> StoredTensor:
        whole = all(
            isinstance(v, tuple) and all(type(n) is int and 0 <= n < 2**62 for n in v)
            for v in (size, stride, (offset,))
        )
        if not isinstance(stored, StoredBytes) or not whole or len(size) != len(stride):
            raise pickle.UnpicklingError("a tensor without storage, size or stride")
        numbers = math.prod(size)
        last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
        if numbers and last >= stored.length:
            raise pickle.UnpicklingError(f"a tensor {size} that reaches past its storage of {stored.length}")
        if numbers > stored.length:  # a view that repeats numbers
            self._expanded += numbers
            if self._expanded > MOST_EXPANDED:
                raise pickle.UnpicklingError(f"a tensor {size} of {stored.length} numbers, repeated")
        return StoredTensor(stored, offset, tuple(size), tuple(stride))


class _Call:
    """A function under a name that the file gives; the machine can call it but not change it."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *arguments: Any) -> Any:
        return self._function(*arguments)

    def __setstate__(self, _: Any) -> None:
        raise pickle.UnpicklingError("a function with a state")


class _StorageType(NamedTuple):
    dtype: str


def _parameter(tensor: Any, *_: Any) -> Any:
    return tensor
