"""A controller of your own: pure, told what is seen, answers which variant. Here: the cheapest while the sun is up."""

from __future__ import annotations

from edge.controller import Candidate, Decision, LadderController, Limits, Observation


class Siesta:
    """Wraps the ladder: above `warm_c` it takes the candidate with the lowest latency, whatever the limits say."""

    def __init__(self, warm_c: float) -> None:
        self.inner, self.warm_c = LadderController(Limits()), warm_c

    def initial(self) -> object:
        return self.inner.initial()

    def decide(self, state, seen: Observation):  # type: ignore[no-untyped-def]
        state, decision = self.inner.decide(state, seen)
        if seen.temperature_c is not None and seen.temperature_c > self.warm_c:
            quickest = min((c for c in seen.candidates if c.usable), key=lambda c: c.latency_ms or float("inf"))
            decision = Decision(quickest.id, f"siesta: {seen.temperature_c:.0f} °C", decision.numbers)
        return state, decision


if __name__ == "__main__":
    both = (Candidate("full", accuracy=0.6, latency_ms=80), Candidate("small", accuracy=0.5, latency_ms=40))
    controller = Siesta(warm_c=45)
    state = controller.initial()
    for at_s, temperature_c in enumerate((30.0, 44.0, 46.0, 40.0)):
        state, decision = controller.decide(state, Observation(at_s * 10**10, None, both, temperature_c=temperature_c))
        print(f"{temperature_c:.0f} °C: {decision.variant} ({decision.reason})")
