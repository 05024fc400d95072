"""Joules a frame for each variant, from a journal: ``python examples/read_journal.py demo/journal.db``."""

from __future__ import annotations

import sys
from collections import defaultdict

from boards.sensor import Method
from edge.journal import JournalReader


def main(path: str) -> None:
    energies: dict[str, list[int]] = defaultdict(list)
    with JournalReader(path) as journal:
        names = {number: variant.name for number, variant in journal.variants().items()}
        methods = set()
        for frame in journal.frames():
            if frame.energy_uj is not None:  # unknown is not zero: leave it out
                energies[names[frame.variant_id]].append(frame.energy_uj)
                methods.add(Method(frame.method).name.lower())
    for name, values in energies.items():
        print(f"{name}: {sum(values) / len(values) / 1000:.1f} mJ a frame over {len(values)} frames")
    print(f"obtained as: {', '.join(sorted(methods)) or 'unavailable'}")


if __name__ == "__main__":
    main(sys.argv[1])
