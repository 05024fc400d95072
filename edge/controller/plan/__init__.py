"""The planning controller: learns what each variant costs here, and spends what battery, heat and time allow."""

from edge.controller.plan.controller import PlanningController
from edge.controller.plan.state import PlanState

__all__ = ["PlanState", "PlanningController"]
