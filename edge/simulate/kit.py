"""What a scenario is played with: a board's power and heat, and the variants that run on it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from boards.simulated import BUSY_W, IDLE_W
from edge.bundle.load import Bundle
from edge.errors import JoulepathError
from edge.simulate.boards import BOARDS, BoardPower

# The demo bundle's paths: accuracy as measured, latency of one thread scaled to a Raspberry Pi 4 at 5 frames a second.
PROFILE = (
    ("full", 0.552, 170.0),
    ("p1", 0.535, 128.0),
    ("p2", 0.524, 103.0),
    ("p3", 0.508, 77.0),
    ("p4", 0.470, 52.0),
)
_DEAREST_MS = 170.0


@dataclass(frozen=True)
class Kit:
    """`profile` is (name, accuracy, latency in ms), dearest first. Heat is that of a small board in a closed case; a
    hungrier board has as much better a heat sink."""

    profile: tuple[tuple[str, float, float], ...] = PROFILE
    idle_w: float = IDLE_W
    dynamic_w: float = BUSY_W - IDLE_W
    resistance_k_per_w: float = 7.0
    capacity_j_per_k: float = 60.0
    chip_k_per_w: float = 1.5


def kit_of(board: str | None = None, bundle: Bundle | None = None, latencies_ms: dict[str, float] | None = None) -> Kit:
    """The kit for a board of `BOARDS` and a bundle's variants. Raises JoulepathError for what cannot be played."""
    kit = Kit()
    if board is not None:
        if board not in BOARDS:
            raise JoulepathError(f"no board is called {board!r}; known are {', '.join(BOARDS)}")
        kit = _on(kit, BOARDS[board])
    return kit if bundle is None else replace(kit, profile=_profile(bundle, latencies_ms or {}))


def _on(kit: Kit, board: BoardPower) -> Kit:
    scale = (kit.idle_w + kit.dynamic_w) / (board.idle_w + board.dynamic_w)
    return replace(
        kit,
        idle_w=board.idle_w,
        dynamic_w=board.dynamic_w,
        resistance_k_per_w=kit.resistance_k_per_w * scale,
        capacity_j_per_k=kit.capacity_j_per_k / scale,
        chip_k_per_w=kit.chip_k_per_w * scale,
    )


def _profile(bundle: Bundle, latencies_ms: dict[str, float]) -> tuple[tuple[str, float, float], ...]:
    """Accuracies from the manifest; latencies from the profile, or else by multiply-accumulates, scaled so that the
    dearest variant loads the board as the built-in one does: what counts is how the variants compare."""
    rows = []
    for variant in bundle.manifest.variants:
        cost = latencies_ms.get(variant.id) if latencies_ms else variant.macs
        if variant.accuracy and cost:
            rows.append((variant.id, variant.accuracy[0].value, float(cost)))
    if len(rows) < 2:
        raise JoulepathError(
            f"{bundle.manifest.name}: fewer than two variants have an accuracy and a cost; profile it first "
            "(joulepath bundle profile) or leave --bundle out"
        )
    kept: list[tuple[str, float, float]] = []
    for name, accuracy, cost in sorted(rows, key=lambda row: row[2]):
        if not kept or accuracy > kept[-1][1]:  # one that costs more and is no better is never worth running
            kept.append((name, accuracy, cost))
    dearest = kept[-1][2]
    return tuple((name, accuracy, cost / dearest * _DEAREST_MS) for name, accuracy, cost in reversed(kept))
