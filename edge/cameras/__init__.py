"""Cameras: where frames come from. A source runs in a child process that can be killed and started again."""
