"""The parts of the synthetic street: what stands where (`plan`), how it is seen (`view`), how it is painted."""
