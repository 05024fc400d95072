"""A manual pin: one variant, whatever the limits say, until an emergency or the pin's end."""

from __future__ import annotations

from typing import Any

from edge.controller.contract import Controller, Decision, Observation

_OF_ITS_CHOICE = ("accuracy", "max_fps", "source_fps", "shared_with", "share_of_dearer")


class PinnedController:
    """Wraps a controller: while `pin` names a usable variant it wins, except over an emergency."""

    def __init__(self, inner: Controller, pin: str) -> None:
        self.inner, self.pin = inner, pin

    def initial(self) -> Any:
        return self.inner.initial()

    def decide(self, state: Any, seen: Observation) -> tuple[Any, Decision]:
        state, decision = self.inner.decide(state, seen)
        usable = any(c.id == self.pin and c.usable for c in seen.candidates)
        if decision.emergency or not usable:
            return state, decision
        # The rate was found for the controller's own variant: by hand means every frame. And what it foretells of its
        # own variant would be read as foretold of this one.
        numbers = {
            name: value
            for name, value in decision.numbers.items()
            if name not in _OF_ITS_CHOICE and not name.startswith("expected_")
        }
        return state, Decision(self.pin, "pinned by hand", numbers)


class StaticController:
    """One variant for ever: the baseline that needs no controller at all."""

    def __init__(self, variant: str) -> None:
        self.variant = variant

    def initial(self) -> None:
        return None

    def decide(self, state: None, seen: Observation) -> tuple[None, Decision]:
        """Always the same; raises ValueError when it is not usable."""
        if not any(c.id == self.variant and c.usable for c in seen.candidates):
            raise ValueError(f"{self.variant} is not usable")
        return None, Decision(self.variant, "static")
