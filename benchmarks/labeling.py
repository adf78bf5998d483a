"""The rule labeler on real reports: quality against human labels, reports a second, and what a second worker brings.

    python benchmarks/labeling.py OPENI_FOLDER [--copies 100]

OPENI_FOLDER holds the Indiana University reports (`reports.csv`: uid, findings, impression) and, where there are, labels
made by people: `mesh_gold.csv` (1, 0 or blank where a code is ambiguous) and `expert_labels.csv` (1, 0, -1, blank).
Text is findings, a blank, impression. Times are the best of three rounds, in one process unless workers are named.

Weighted F1 is that of Smit et al. 2020: F1 of negative, uncertain and positive, weighted by support, averaged over the
findings that the gold mentions. Uncertain F1 is averaged over findings with an uncertain label in the gold, No Finding and
Support Devices left out. Accuracy counts all cells in four states.
"""

from __future__ import annotations

import argparse
import csv
import os
import platform
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from hilum.findings import CHEXPERT_NAMES
from hilum.reports import RULES_VERSION, RuleLabeler, label
from hilum.reports.self_test import run_examples

ROUNDS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--copies", type=int, default=100, help="times the reports are repeated in the worker test")
    arguments = parser.parse_args()
    reports = {
        row["uid"]: f"{row['findings']} {row['impression']}".strip() for row in rows(arguments.folder / "reports.csv")
    }
    print(f"rules@{RULES_VERSION}, {cpu_name()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print(f"{len(reports)} reports, {sum(map(len, reports.values())) / len(reports):.0f} characters on average\n")
    quality(arguments.folder, reports)
    speed(list(reports.values()))
    workers(reports, arguments.copies)


def quality(folder: Path, reports: dict[str, str]) -> None:
    labeler = RuleLabeler()
    said = {uid: dict(zip(labeler.observations, labeler.codes(text)[0], strict=True)) for uid, text in reports.items()}
    n, misses = run_examples(labeler)
    print(f"example sentences exactly right: {n - len(misses)} of {n} ({(n - len(misses)) / n:.1%})")
    if (folder / "mesh_gold.csv").exists():
        gold = list(rows(folder / "mesh_gold.csv"))
        strict, lenient = mesh_f1(gold, said, (1,)), mesh_f1(gold, said, (1, -1))
        print(f"\nMeSH codes, {len(gold)} reports      positive = 1   positive or uncertain = 1")
        for name in CHEXPERT_NAMES:
            print(f"  {name:<28}{strict[name]:>8.3f}{lenient[name]:>16.3f}")
        print(f"  {'macro F1':<28}{mean(strict.values()):>8.3f}{mean(lenient.values()):>16.3f}")
    if (folder / "expert_labels.csv").exists():
        gold = list(rows(folder / "expert_labels.csv"))
        weighted, uncertain, accuracy = expert_scores(gold, said)
        print(
            f"\ncareful reader, {len(gold)} reports: weighted F1 {weighted:.3f}   uncertain F1 {uncertain:.3f}",
            end="   ",
        )
        print(f"4-state accuracy {accuracy:.3f}\n")


Said = dict[str, dict[str, int | None]]


def mesh_f1(gold: list[dict[str, str]], said: Said, present: tuple[int, ...]) -> dict[str, float]:
    """F1 of each finding over the rows whose code is not ambiguous."""
    scores = {}
    for name in CHEXPERT_NAMES:
        cells = [(row[name] == "1", said[row["uid"]][name] in present) for row in gold if row[name]]
        scores[name] = f1(sum(a and b for a, b in cells), sum(b for _, b in cells), sum(a for a, _ in cells))
    return scores


def expert_scores(gold: list[dict[str, str]], said: Said) -> tuple[float, float, float]:
    """Weighted F1, uncertain F1 and accuracy of four-state labels."""
    weighted, uncertain = [], []
    right = total = 0
    for name in CHEXPERT_NAMES:
        cells = Counter((int(row[name]) if row[name] else None, said[row["uid"]][name]) for row in gold)
        total += sum(cells.values())
        right += sum(times for (truth, found), times in cells.items() if truth == found)
        support = {state: sum(times for (truth, _), times in cells.items() if truth == state) for state in (0, -1, 1)}
        scores = {
            state: f1(
                cells[state, state], sum(times for (_, found), times in cells.items() if found == state), support[state]
            )
            for state in (0, -1, 1)
        }
        states = (1,) if name == "No Finding" else (0, -1, 1)
        if mentions := sum(support[state] for state in states):
            weighted.append(sum(scores[state] * support[state] for state in states) / mentions)
        if support[-1] and name not in ("No Finding", "Support Devices"):
            uncertain.append(scores[-1])
    return mean(weighted), mean(uncertain), right / total


def speed(texts: list[str]) -> None:
    each_anew = RuleLabeler(remember=0)
    [each_anew.codes(text) for text in texts[:200]]
    print("reports a second, one process")
    print(
        f"  every sentence read anew            {len(texts) / best(lambda: [each_anew.codes(t) for t in texts]):>8,.0f}"
    )
    cold = best(lambda: [labeler.codes(text) for labeler in [RuleLabeler()] for text in texts], setup=RuleLabeler)
    print(f"  repeated sentences remembered       {len(texts) / cold:>8,.0f}   (starts empty)")
    warm = RuleLabeler()
    [warm.codes(text) for text in texts]
    print(f"  all sentences seen before           {len(texts) / best(lambda: [warm.codes(t) for t in texts]):>8,.0f}")
    print(
        f"  labels with evidence                {len(texts) / best(lambda: [each_anew.label(t) for t in texts]):>8,.0f}\n"
    )


def workers(reports: dict[str, str], copies: int) -> None:
    """The whole command on many reports: reading, labeling, writing."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "reports.csv")
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["id", "report"])
            for copy in range(copies):
                # A number in each sentence keeps the labeler from meeting the same sentence again.
                writer.writerows((f"{copy}-{uid}", text.replace(". ", f" {copy}. ")) for uid, text in reports.items())
        total = copies * len(reports)
        print(f"hilum label, {total:,} reports whose sentences hardly repeat, start of workers included")
        first = 0.0
        for number in (1, 2):
            began = time.perf_counter()
            label(path, Path(folder, "labels.csv"), workers=number)
            taken = time.perf_counter() - began
            first = first or taken
            print(
                f"  {number} worker{'s' * (number > 1)}   {taken:6.1f} s   {total / taken:>8,.0f} reports/s   x{first / taken:.2f}"
            )


def best(run: Callable[[], object], setup: Callable[[], object] | None = None) -> float:
    """Seconds of the quickest round."""
    spent = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        run()
        spent.append(time.perf_counter() - began)
    if setup:
        began = time.perf_counter()
        setup()
        return min(spent) - (time.perf_counter() - began)
    return min(spent)


def f1(hits: int, found: int, there: int) -> float:
    return 2 * hits / (found + there) if found + there else 0.0


def mean(values: object) -> float:
    numbers = list(values)  # type: ignore[call-overload]
    return float(sum(numbers) / len(numbers))


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    names = (
        [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
        if info.exists()
        else []
    )
    return names[0] if names else platform.machine()


if __name__ == "__main__":
    main()
