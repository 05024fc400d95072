"""The parts of the synthetic street: its manner, what stands and moves where, how it is seen, how it is painted."""
