"""Would the installed Joulepath take this configuration? Run by the package's own Python; silent and 0 if so."""

from __future__ import annotations

import sys
from pathlib import Path

from edge.config import load_config
from edge.errors import JoulepathError

try:
    load_config(Path(sys.argv[1]))
except JoulepathError as error:
    sys.exit(str(error))
