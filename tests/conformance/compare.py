"""Which differences a server has from the goldens, the most common first.

`python -m tests.conformance.compare HOST:PORT [NAME ...]`, where NAME is a family or `family/scenario`.
"""

from __future__ import annotations

import argparse
import asyncio
import re
from collections import Counter
from typing import Any

from tests.conformance.runner import differences, find, golden, golden_path, run_until_alike

Leaf = tuple[str, str, str]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("address", metavar="HOST:PORT")
    parser.add_argument("names", nargs="*")
    parser.add_argument("--top", type=int, default=60, help="how many kinds of differences to show (60)")
    options = parser.parse_args()
    names = [name for name in find() if not options.names or {name, name.split("/")[0]} & set(options.names)]
    names = [name for name in names if golden_path(name).exists()]
    records = asyncio.run(run_until_alike(options.address, names, lambda name, record: golden(name) == record))
    _report(records, options.top)


def _report(records: dict[str, dict[str, Any]], top: int) -> None:
    counts: Counter[Leaf] = Counter()
    where: dict[Leaf, list[str]] = {}
    alike = 0
    for name, record in records.items():
        leaves = {_kind(*difference) for difference in differences(golden(name), record)}
        alike += not leaves
        for leaf in leaves:
            counts[leaf] += 1
            where.setdefault(leaf, []).append(name)
    for leaf, count in counts.most_common(top):
        path, reference, here = leaf
        print(f"{count:4} {path}\n       reference: {reference}\n       here:      {here}")
        print(f"       in {', '.join(where[leaf][:3])}")
    print(f"{alike} of {len(records)} scenarios are answered as by the reference")


def _kind(path: str, reference: Any, here: Any) -> Leaf:
    return re.sub(r"\[\d+\]", "[]", path), repr(reference)[:300], repr(here)[-300:]


if __name__ == "__main__":
    main()
