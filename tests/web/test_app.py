"""What the server sets for its process while it is open."""

from __future__ import annotations

from pathlib import Path

from tests.web.conftest import TOKEN, client_of
from threadpoolctl import threadpool_info

from hilum.web import Settings


def blas_threads() -> set[int]:
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


def test_a_product_of_matrices_takes_one_thread_while_the_server_is_open(embedded: Path) -> None:
    before = blas_threads()
    with client_of(Settings(embedded, token=TOKEN)):
        assert blas_threads() == {1}
    assert blas_threads() == before
