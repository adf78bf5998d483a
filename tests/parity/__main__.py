"""Print the table of parity as Markdown: method, quantity, largest difference, tolerance."""

from __future__ import annotations

import sys

from tests.parity import all_checks


def main() -> int:
    """Exit status 1 when a difference is beyond its tolerance."""
    print("| method | quantity | difference | tolerance |\n| --- | --- | --- | --- |")
    beyond = count = 0
    for count, check in enumerate(all_checks(), start=1):  # noqa: B007
        kind = "relative" if check.relative else "absolute"
        allowed = "equal" if check.tolerance == 0 else f"{check.tolerance:.0e} {kind}"
        mark = "" if check.holds else " **beyond**"
        beyond += not check.holds
        print(f"| {check.method} | {check.quantity} | {check.difference:.1e}{mark} | {allowed} |")
    sys.stderr.write(f"{count} quantities, {beyond} beyond their tolerance\n")
    return int(beyond > 0)


if __name__ == "__main__":
    sys.exit(main())
