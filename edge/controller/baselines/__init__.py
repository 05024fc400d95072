"""What others do, to be held against: threshold tiers, ALERT, and one variant for ever."""

from edge.controller.baselines.alert import AlertController
from edge.controller.baselines.tiers import TierController, Tiers
from edge.controller.pinned import StaticController

__all__ = ["AlertController", "StaticController", "TierController", "Tiers"]
