"""What is inside runs in a process of its own for each database (`inside.py`): Django has one set of settings for each
process."""

from __future__ import annotations

import os

collect_ignore = [] if "PROJECT_DEFAULT" in os.environ else ["inside"]
