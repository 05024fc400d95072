"""The steward against a pool that is a plain set: swaps at boundaries only, failures never stop the present one."""

from __future__ import annotations

from typing import Any

from edge.controller import Decision, LadderController, Limits, Observation
from edge.steward import Known, Steward, Switch

S = 1_000_000_000
VARIANTS = (Known("full", 0.6, 100, 80.0), Known("mid", 0.5, 60, 50.0), Known("min", 0.4, 30, 30.0))


class Shelf:
    """Residents that become so when told."""

    def __init__(self, *resident: str) -> None:
        self.resident, self.asked, self.broken = set(resident), [], {}

    def ensure(self, variant_id: str) -> None:
        self.asked.append(variant_id)

    def is_resident(self, variant_id: str) -> bool:
        return variant_id in self.resident

    def failure(self, variant_id: str) -> str | None:
        return self.broken.get(variant_id)

    def first_latency_ms(self, variant_id: str) -> float | None:
        return None


class Desk:
    """A steward with its records."""

    def __init__(self, shelf: Shelf, **world: Any) -> None:
        self.world = world
        self.switches: list[Switch] = []
        self.events: list[tuple[str, str, str]] = []
        self.decisions: list[tuple[Observation, Decision]] = []
        self.steward = Steward(
            VARIANTS,
            LadderController(Limits(max_temperature_c=70, dwell_s=0)),
            shelf,
            lambda: self.world,
            period_ns=S // 4,
            on_switch=self.switches.append,
            on_decision=lambda seen, decision: self.decisions.append((seen, decision)),
            on_event=lambda *event: self.events.append(event),
        )


def test_nothing_runs_until_something_is_resident_then_the_best_there_is() -> None:
    shelf = Shelf()
    desk = Desk(shelf)
    assert desk.steward.at_boundary(S) is None
    assert shelf.asked == ["full"]
    shelf.resident.add("min")
    assert desk.steward.at_boundary(S + 1) == "min"
    assert desk.switches[-1].reason == "the wanted variant is still loading"
    shelf.resident.add("full")
    assert desk.steward.at_boundary(S + 2) == "full"
    assert [(s.before, s.after) for s in desk.switches] == [(None, "min"), ("min", "full")]


def test_the_present_variant_goes_on_while_the_wanted_one_loads() -> None:
    shelf = Shelf("full")
    desk = Desk(shelf, temperature_c=50.0)
    assert desk.steward.at_boundary(S) == "full"
    desk.world = {"temperature_c": 75.0}
    assert desk.steward.at_boundary(2 * S) == "full"
    assert shelf.asked == ["mid"]
    shelf.resident.add("mid")
    assert desk.steward.at_boundary(2 * S + 3_000_000) == "mid"
    last = desk.switches[-1]
    assert (last.before, last.after, last.cost_us) == ("full", "mid", 3000)
    assert last.reason == "temperature 75.0 °C (limit 70 °C)"


def test_decisions_keep_their_period() -> None:
    desk = Desk(Shelf("full"))
    for step in range(10):
        desk.steward.at_boundary(S + step * S // 10)
    assert len(desk.decisions) == 4  # at 0, 0.3, 0.6 and 0.9 s


def test_a_variant_that_failed_is_reported_once_and_left_out() -> None:
    shelf = Shelf("mid")
    shelf.broken["full"] = "its file is damaged"
    desk = Desk(shelf)
    for step in range(5):
        assert desk.steward.at_boundary(S + step * S) == "mid"
    assert desk.events == [("error", "variant_failed", "full cannot be used: its file is damaged")]


def test_when_every_variant_failed_it_says_so_and_goes_on() -> None:
    shelf = Shelf()
    shelf.broken.update({v.id: "gone" for v in VARIANTS})
    desk = Desk(shelf)
    assert desk.steward.at_boundary(S) is None
    assert desk.events[-1] == ("error", "no_variant", "no usable variant is left")


def test_a_pin_holds_and_its_end_gives_the_choice_back() -> None:
    desk = Desk(Shelf("full", "mid", "min"))
    assert desk.steward.at_boundary(S) == "full"
    desk.steward.pin("min")
    assert desk.steward.at_boundary(S + 1) == "min"
    assert desk.steward.reason == "pinned by hand"
    desk.steward.pin(None)
    assert desk.steward.at_boundary(S + 2) == "full"


def test_a_lost_engine_is_left_for_another_and_taken_again() -> None:
    shelf = Shelf("full", "min")
    desk = Desk(shelf)
    assert desk.steward.at_boundary(S) == "full"
    shelf.resident.discard("full")
    desk.steward.drop_active()
    assert desk.steward.at_boundary(2 * S) == "min"
    shelf.resident.add("full")
    assert desk.steward.at_boundary(3 * S) == "full"


class Slow:
    """A controller that lets four frames a second through."""

    def initial(self) -> None:
        return None

    def decide(self, state: None, seen: Observation) -> tuple[None, Decision]:
        return None, Decision("full", "saving", {"max_fps": 4.0}, max_fps=4.0)


def test_the_rate_is_the_last_decisions_and_every_frame_while_pinned() -> None:
    desk = Desk(Shelf("full", "mid"))
    assert (desk.steward.active, desk.steward.max_fps) == (None, None)
    desk.steward.replace_controller(Slow(), S // 4)
    desk.steward.at_boundary(S)
    assert desk.steward.max_fps == 4.0
    desk.steward.pin("mid")
    desk.steward.at_boundary(S + 1)
    assert (desk.steward.active, desk.steward.max_fps) == ("mid", None)
