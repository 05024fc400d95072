"""jetson-stats' real service, told that this machine is a Jetson. Its own constants are set, none of its code.

Run as a program by `drive.py`, as root, inside a mount namespace whose /sys and /run are the bench's.
"""

from __future__ import annotations

import importlib
import platform
import sys
from typing import Any


def main(version: str | None) -> None:
    """Serve until killed; `version` is what to claim to be."""
    platform.machine = lambda: "aarch64"
    service: Any = importlib.import_module("jtop.service")
    config: Any = importlib.import_module("jtop.core.config")
    config.get_config_service = lambda *_: "/run/jtop-config"  # else beside the interpreter
    service.JTOP_USER = "root"  # a group that exists here
    server = service.JtopServer(force=True)
    if version is not None:
        server._version = version
    server.loop_for_ever()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None)
