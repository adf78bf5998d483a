"""`hilum serve` says what is wrong before anything is loaded, and answers at the address that it prints."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

pytest.importorskip("uvicorn")

from hilum.cli.serve import serve
from hilum.errors import ArchiveError, UsageError


def test_a_missing_archive_or_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="no such archive"):
        serve(str(tmp_path / "none"), port=0, host="127.0.0.1")
    with pytest.raises(UsageError, match="no such folder"):
        serve(str(tmp_path), results=[tmp_path / "none"], port=0, host="127.0.0.1")


def test_a_taken_port_is_told(small_archive: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(UsageError, match="--port"):
            serve(str(small_archive), port=taken.getsockname()[1], host="127.0.0.1")


def test_the_printed_address_lets_one_in_and_another_one_does_not(small_archive: Path) -> None:
    command = [sys.executable, "-m", "hilum", "serve", str(small_archive), "--port", "0"]
    env = {name: value for name, value in os.environ.items() if name != "HILUM_TOKEN"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env) as process:
        try:
            assert process.stdout is not None
            address = process.stdout.readline().strip()
            assert address.startswith("http://127.0.0.1:")
            server, _, token = address.partition("/?token=")
            assert len(token) > 40
            request = urllib.request.Request(f"{server}/api/archive", headers={"Authorization": f"Bearer {token}"})
            assert b'"images":96' in urllib.request.urlopen(request, timeout=60).read()
            with pytest.raises(urllib.error.HTTPError, match="401"):
                urllib.request.urlopen(f"{server}/api/archive", timeout=60)
        finally:
            process.terminate()
