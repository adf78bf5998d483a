"""The index of words in an archive's reports: a Lance inverted index with positions, so that phrases are found too.

Words are taken as they are, without stems and with the small ones ("no"), but for capitals. Reports that came or changed after
the index was built are read one by one until `index` is called again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from hilum.archive.archive import Archive

NAME = "report_words"
ALL = 1 << 31  # more than there are; without a limit Lance gives ten
_ELSEWHERE = "report IS NULL AND (findings IS NOT NULL OR impression IS NOT NULL)"  # the index does not see these texts


class ReportWords:
    """Studies by the words of their reports, at the version that the archive's handle reads.

    Args:
        archive: whose reports.
    """

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._table = archive.studies_table

    @property
    def n_indexed(self) -> int:
        """How many reports the index has; 0 without one."""
        dataset = self._table.dataset()
        if dataset is None:
            return 0
        return sum(int(one.num_rows_indexed) for one in dataset.describe_indices() if one.name == NAME)

    @property
    def is_usable(self) -> bool:
        """Whether there is an index, and every text is where it looks."""
        return bool(self.n_indexed) and self._table.dataset().count_rows(filter=_ELSEWHERE) == 0

    def index(self) -> None:
        """Build the index, or bring it up to date.

        Raises:
            ArchiveError: it cannot be written.
        """
        with self._archive.writing(), self._table.told():
            dataset = self._table.dataset()
            if dataset is None:
                return
            if self.n_indexed:
                dataset.optimize.optimize_indices(index_names=[NAME])
            else:
                dataset.create_scalar_index(
                    "report",
                    "INVERTED",
                    name=NAME,
                    with_position=True,
                    stem=False,
                    remove_stop_words=False,
                    lower_case=True,
                    ascii_folding=False,
                )
            self._table.refresh()

    def find(self, terms: Sequence[Sequence[str]]) -> tuple[pa.Array, np.ndarray]:
        """The studies whose report has every term.

        Args:
            terms: words; several in one term stand in a row.

        Returns:
            study ids, and their BM25 scores (Robertson & Zaragoza 2009), the highest first.
        """
        scanner = self._table.dataset().scanner(
            columns=["study_id", "_score"],
            full_text_query=_query(terms),
            limit=ALL,
            disable_scoring_autoprojection=True,
        )
        found = scanner.to_table()
        scores = found["_score"].to_numpy()
        order = np.argsort(-scores, kind="stable")
        return found["study_id"].combine_chunks().take(pa.array(order)), scores[order]


def _query(terms: Sequence[Sequence[str]]) -> Any:
    from lance.query import BooleanQuery, MatchQuery, Occur, PhraseQuery

    each = [PhraseQuery(" ".join(term), "report") if len(term) > 1 else MatchQuery(term[0], "report") for term in terms]
    return each[0] if len(each) == 1 else BooleanQuery([(Occur.MUST, one) for one in each])
