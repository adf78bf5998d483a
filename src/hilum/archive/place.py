"""Where an archive lies: a local directory, or behind a URI; what is behind a URI is read, never written.

`s3://`, `gs://`, `az://` and what else Lance and Arrow open; credentials come from where their clients look (for S3 the usual
AWS variables, AWS_ENDPOINT_URL for another server).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyarrow.fs as arrow_fs

from hilum.errors import ArchiveError

# A URI that has gone through pathlib has one slash left of two.
_URI = re.compile(r"(?P<scheme>s3|gs|gcs|az|abfss?|file):/+(?P<rest>.*)")


@dataclass(frozen=True)
class RemotePlace:
    """A directory or file behind a URI, with the few manners of a `Path` that an archive needs."""

    uri: str

    def __str__(self) -> str:
        return self.uri

    def __truediv__(self, name: str) -> RemotePlace:
        return RemotePlace(f"{self.uri.rstrip('/')}/{name}")

    @property
    def name(self) -> str:
        """The last part."""
        return self.uri.rstrip("/").rpartition("/")[2]

    @property
    def stem(self) -> str:
        """The last part without its ending."""
        return Path(self.name).stem

    def resolve(self) -> RemotePlace:
        """Itself."""
        return self

    def exists(self) -> bool:
        """Whether there is a file or a directory."""
        return bool(self._info().type != arrow_fs.FileType.NotFound)

    def is_dir(self) -> bool:
        """Whether there is a directory."""
        return bool(self._info().type == arrow_fs.FileType.Directory)

    def read_text(self, encoding: str = "utf-8") -> str:
        """A small file's text.

        Raises:
            FileNotFoundError: there is none.
        """
        system, path = self._opened()
        if system.get_file_info(path).type == arrow_fs.FileType.NotFound:
            raise FileNotFoundError(self.uri)
        with system.open_input_stream(path) as stream:
            return str(stream.read().decode(encoding))

    def glob(self, pattern: str) -> Iterator[RemotePlace]:
        """What lies directly in it and has a name like `*.ending`."""
        ending = pattern.removeprefix("*")
        yield from (self / info.base_name for info in self._listed(recursive=False) if info.base_name.endswith(ending))

    def size_bytes(self) -> int:
        """Bytes of all files below it."""
        return sum(info.size or 0 for info in self._listed(recursive=True))

    def _listed(self, recursive: bool) -> list[Any]:
        system, path = self._opened()
        return list(system.get_file_info(arrow_fs.FileSelector(path, allow_not_found=True, recursive=recursive)))

    def _info(self) -> Any:
        system, path = self._opened()
        return system.get_file_info(path)

    def _opened(self) -> tuple[Any, str]:
        try:
            if self.uri.startswith("s3://") and os.environ.get("AWS_ENDPOINT_URL"):
                server = urlsplit(os.environ["AWS_ENDPOINT_URL"])
                system = arrow_fs.S3FileSystem(endpoint_override=server.netloc, scheme=server.scheme)
                return system, self.uri.removeprefix("s3://")
            system, path = arrow_fs.FileSystem.from_uri(self.uri)
        except (OSError, ValueError) as error:
            raise ArchiveError(
                f"{self.uri}: cannot be reached: {error}. Check the address and the credentials."
            ) from error
        return system, str(path)


Place = Path | RemotePlace


def place_of(path: str | os.PathLike[str] | RemotePlace) -> Place:
    """A local path, or what is behind a URI.

    Example:
        >>> place_of("archive"), str(place_of(Path("s3://bucket/archive")))
        (PosixPath('archive'), 's3://bucket/archive')
    """
    if isinstance(path, RemotePlace):
        return path
    found = _URI.fullmatch(str(path))
    if found is None:
        return Path(path)
    lead = "/" if found["scheme"] == "file" else ""
    return RemotePlace(f"{found['scheme']}://{lead}{found['rest'].rstrip('/')}")
