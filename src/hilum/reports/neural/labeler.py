"""A trained labeler: a model folder in memory that labels reports."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from hilum.findings import CHEXPERT_NAMES, LabelValue
from hilum.reports.grid import BLANK, NO_FINDING, STATES
from hilum.reports.headers import is_hollow
from hilum.reports.labels import ReportLabels
from hilum.reports.language import is_english
from hilum.reports.neural.folder import LabelerConfig, read_folder, write_folder
from hilum.reports.neural.network import CheXbert, state_scores
from hilum.reports.neural.tokens import ReportTokenizer, TokenizedReport, clean

# Tokens (padding included) in one forward pass: large enough to fill two cores, small enough for any machine.
BATCH_TOKENS = 8192

# Texts tokenized together, so that millions of reports take constant memory.
_TEXTS_AT_ONCE = 4096

# A finding said anywhere in a long report is said; positive beats uncertain beats negative, as for mentions.
_STRENGTH = np.array([0, 3, 1, 2])  # by class code


@dataclass(frozen=True)
class NeuralLabels(ReportLabels):
    """What the labeler says of one report: values as the rule labeler gives them, and scores.

    Attributes:
        scores: the softmax score of each finding's four states. A score, not a calibrated probability.
        windows: how many windows the report was read in.
        cut_tokens: tokens at its end that were not read (only when the labeler cuts long reports).
    """

    scores: dict[str, dict[LabelValue, float]] = field(default_factory=dict)
    windows: int = 1
    cut_tokens: int = 0


@dataclass(frozen=True)
class Predictions:
    """Many reports' labels as arrays: (N, F) class codes, (N, F, 4) scores, (N,) windows and cut tokens."""

    codes: np.ndarray
    scores: np.ndarray
    windows: np.ndarray
    cut_tokens: np.ndarray


class NeuralLabeler:
    """Labels reports with a CheXbert network.

    Args:
        network: the trained network; put into evaluation mode.
        tokenizer: of its vocabulary.
        config: what is saved beside the weights.
    """

    def __init__(self, network: CheXbert, tokenizer: ReportTokenizer, config: LabelerConfig) -> None:
        self.network, self.tokenizer, self.config = network.eval(), tokenizer, config

    @property
    def said_by(self) -> str:
        """How an archive names this labeler."""
        return f"model@{self.config.fingerprint}"

    @property
    def findings(self) -> tuple[str, ...]:
        """What is labeled, in the order of the heads."""
        return self.network.findings

    def label(self, text: str) -> NeuralLabels:
        """What is said in one report."""
        return self.label_many([text])[0]

    def label_many(self, texts: Sequence[str], batch_tokens: int = BATCH_TOKENS) -> list[NeuralLabels]:
        """What is said in each report, in the given order.

        A report without words, or surely not in English, is left blank, and its note says so: the network would answer anyhow.
        """
        found = self.predict(texts, batch_tokens)
        columns = [(name, self.findings.index(name)) for name in sorted(self.findings, key=_column_order)]
        labels = []
        for row, text in enumerate(texts):
            codes, note = found.codes[row], _unreadable(text, found.codes[row])
            labels.append(
                NeuralLabels(
                    values={name: LabelValue.NOT_MENTIONED if note else STATES[codes[at]] for name, at in columns},
                    note=note,
                    scores={
                        name: dict(zip(STATES, map(float, found.scores[row, at]), strict=True)) for name, at in columns
                    },
                    windows=int(found.windows[row]),
                    cut_tokens=int(found.cut_tokens[row]),
                )
            )
        return labels

    def explain_many(self, texts: Sequence[str]) -> list[NeuralLabels]:
        """What is said in each report, with the words that carried it; one forward pass a word."""
        from hilum.reports.neural.occlusion import explain

        return [explain(self, text) for text in texts]

    def predict(self, texts: Sequence[str], batch_tokens: int = BATCH_TOKENS) -> Predictions:
        """The labels of many reports as arrays, in the given order."""
        heads = len(self.findings)
        codes, scores = np.zeros((len(texts), heads), np.int8), np.zeros((len(texts), heads, 4), np.float32)
        windows, cut = np.ones(len(texts), np.int32), np.zeros(len(texts), np.int32)
        for start in range(0, len(texts), _TEXTS_AT_ONCE):
            reports = self._tokenize(texts[start : start + _TEXTS_AT_ONCE])
            place = slice(start, start + len(reports))
            owners = np.repeat(np.arange(len(reports)), [len(report.windows) for report in reports])
            window_scores = self._score([window for report in reports for window in report.windows], batch_tokens)
            codes[place], scores[place] = combine_windows(window_scores, owners, self.findings)
            windows[place] = [len(report.windows) for report in reports]
            cut[place] = [report.cut_tokens for report in reports]
        return Predictions(codes, scores, windows, cut)

    def embed(self, texts: Sequence[str], batch_tokens: int = BATCH_TOKENS) -> np.ndarray:
        """(N, H) report vectors before the heads; of a long report, the mean over its windows.

        Their cosine is the "CheXbert similarity" of report-generation papers.
        """
        reports = self._tokenize(texts)
        owners = np.repeat(np.arange(len(reports)), [len(report.windows) for report in reports])
        all_windows = [window for report in reports for window in report.windows]
        vectors = np.zeros((len(all_windows), self.network.width), np.float32)
        with torch.inference_mode():
            for rows, ids, mask in self._batches(all_windows, batch_tokens):
                vectors[rows] = self.network.embed(ids, mask).float().cpu().numpy()
        total = np.zeros((len(reports), vectors.shape[1]), np.float32)
        np.add.at(total, owners, vectors)
        return total / np.bincount(owners, minlength=len(reports))[:, None]

    def save(self, folder: Path) -> None:
        """Write the model folder: config.json, model.safetensors, tokenizer.json, README.md."""
        fingerprint = write_folder(folder, self.network, self.tokenizer, self.config)
        self.config = replace(self.config, fingerprint=fingerprint)

    def _tokenize(self, texts: Sequence[str]) -> list[TokenizedReport]:
        cut = self.config.long_reports == "cut"
        return self.tokenizer.reports(texts, self.config.max_tokens, self.config.overlap_tokens, cut)

    def _score(self, windows: Sequence[Sequence[int]], batch_tokens: int) -> np.ndarray:
        scores = np.zeros((len(windows), len(self.findings), 4), np.float32)
        with torch.inference_mode():
            for rows, ids, mask in self._batches(windows, batch_tokens):
                scores[rows] = state_scores(self.network(ids, mask)).float().cpu().numpy()
        return scores

    def _batches(
        self, windows: Sequence[Sequence[int]], batch_tokens: int
    ) -> Iterator[tuple[np.ndarray, torch.Tensor, torch.Tensor]]:
        """Windows of like length together, so that little is spent on padding."""
        device = self.network.device
        for rows in length_batches([len(window) for window in windows], batch_tokens):
            ids, mask = pad_batch([windows[row] for row in rows], self.tokenizer.pad)
            yield rows, ids.to(device), mask.to(device)


def load_labeler(folder: str | Path, device: str = "cpu") -> NeuralLabeler:
    """The labeler saved in a model folder.

    Raises:
        ModelError: the folder is not a labeler's, is damaged, or does not hold the weights its configuration names.
    """
    network, tokenizer, config = read_folder(Path(folder))
    return NeuralLabeler(network.to(device), tokenizer, config)


def combine_windows(scores: np.ndarray, owners: np.ndarray, findings: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """One label a report from its windows.

    Each window votes for its best state. Positive beats uncertain beats negative beats not mentioned; the scores are
    those of the window that is surest of the winner. No Finding holds only where every window says it.

    Args:
        scores: (windows, findings, 4).
        owners: (windows,) ascending report numbers, each report at least once.
        findings: names of the columns.

    Returns:
        (reports, findings) class codes and (reports, findings, 4) scores.
    """
    votes = scores.argmax(-1)  # (windows, findings)
    first = np.flatnonzero(np.diff(owners, prepend=-1))
    if len(first) == len(owners):
        return votes.astype(np.int8), scores
    codes, kept = np.empty((len(first), len(findings)), np.int8), np.empty((len(first), len(findings), 4), np.float32)
    for report, (start, end) in enumerate(zip(first, [*first[1:], len(owners)], strict=True)):
        for column, finding in enumerate(findings):
            vote, score = votes[start:end, column], scores[start:end, column]
            strength = -vote if finding == NO_FINDING else _STRENGTH[vote]
            winner = vote[strength.argmax()]
            surest = np.where(vote == winner, score[:, winner], -1).argmax()
            codes[report, column], kept[report, column] = winner, score[surest]
    return codes, kept


def _unreadable(text: str, codes: np.ndarray) -> str:
    """Why a report is left blank, or "" (the notes of the rule labeler)."""
    if is_hollow(text):
        return "empty"
    return "" if is_english(clean(text).lower(), bool((codes != BLANK).any())) else "not English"


def _column_order(finding: str) -> int:
    return CHEXPERT_NAMES.index(finding) if finding in CHEXPERT_NAMES else len(CHEXPERT_NAMES)


def length_batches(lengths: Sequence[int], batch_tokens: int) -> Iterator[np.ndarray]:
    """Row numbers, sorted by length, in batches of at most `batch_tokens` tokens with padding (at least one row)."""
    order = np.argsort(lengths, kind="stable")
    start = 0
    while start < len(order):
        end = start + 1
        while end < len(order) and lengths[order[end]] * (end + 1 - start) <= batch_tokens:
            end += 1
        yield order[start:end]
        start = end


def pad_batch(windows: Sequence[Sequence[int]], pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(N, T) ids and mask, padded to the longest."""
    longest = max(len(window) for window in windows)
    ids = torch.full((len(windows), longest), pad, dtype=torch.long)
    mask = torch.zeros(len(windows), longest, dtype=torch.long)
    for row, window in enumerate(windows):
        ids[row, : len(window)] = torch.tensor(window, dtype=torch.long)
        mask[row, : len(window)] = 1
    return ids, mask
