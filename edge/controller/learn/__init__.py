"""What the controller learns while it runs: latency, power, heat, battery. Each is a value and a pure update of it."""
