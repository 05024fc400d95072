"""Which painter paints which kind of thing."""

from __future__ import annotations

from collections.abc import Callable

from edge.cameras.street.fronts import paint_building, paint_fence, paint_shrubs
from edge.cameras.street.furniture import paint_board, paint_lamp, paint_light, paint_sign, paint_tree
from edge.cameras.street.people import paint_cyclist, paint_person
from edge.cameras.street.plan import Thing
from edge.cameras.street.vehicles import paint_car
from edge.cameras.street.view import Canvas

STILL: dict[str, Callable[[Canvas, Thing, float, float], None]] = {
    "tree": paint_tree, "lamp": paint_lamp, "sign": paint_sign, "light": paint_light, "board": paint_board,
    "car": paint_car,
}  # fmt: skip
MOVING: dict[str, Callable[[Canvas, Thing, float, float, float], None]] = {
    "person": paint_person, "cyclist": paint_cyclist,
}  # fmt: skip
LONG: dict[str, Callable[[Canvas, Thing, float, float, float], None]] = {
    "building": paint_building, "shrubs": paint_shrubs, "fence": paint_fence,
}  # fmt: skip
