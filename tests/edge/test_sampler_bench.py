from __future__ import annotations

from edge.bench.sampling import RAILS, measure


def test_the_bench_reads_three_rails_at_their_rate() -> None:
    cost = measure(rate_hz=20.0, seconds=0.5)
    assert len(RAILS) == 3
    assert cost.reads + cost.missed >= 3 * 18  # a late machine misses ticks, but counts them
    assert 0.0 <= cost.core_share < 1.0
