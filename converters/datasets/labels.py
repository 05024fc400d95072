"""Which label of a network a class of a labelled set is."""

from __future__ import annotations

from collections.abc import Sequence

from edge.errors import UsageError


def match_classes(classes: Sequence[str], labels: Sequence[str], spec: str) -> tuple[int, ...]:
    """The label's position for each class: by name whatever the case, else by position where there are equally many.

    A name that occurs several times (ImageNet has two cranes) is matched in order, and must occur as often on both
    sides. Raises UsageError naming classes that are no labels.
    """
    known, wanted = _places(labels), _places(classes)
    missing = [name for name in wanted if name not in known]
    unclear = [name for name in wanted if name in known and len(known[name]) != len(wanted[name])]
    if not missing and not unclear:
        return tuple(known[name][wanted[name].index(at)] for at, name in enumerate(map(_plain, classes)))
    if len(classes) == len(labels):
        return tuple(range(len(labels)))
    if missing:
        raise UsageError(
            f"{spec}: its classes {', '.join(missing[:4])} are no labels of the bundle, which has "
            f"{len(labels)} labels for {len(classes)} classes; score it on a set with its own classes"
        )
    raise UsageError(
        f"{spec}: the class {unclear[0]!r} occurs {len(wanted[unclear[0]])} times there and "
        f"{len(known[unclear[0]])} times among the bundle's labels; which one is meant cannot be told"
    )


def _plain(name: str) -> str:
    return name.strip().lower()


def _places(names: Sequence[str]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for at, name in enumerate(names):
        found.setdefault(_plain(name), []).append(at)
    return found
