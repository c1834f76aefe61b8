"""Write .env.example and docs/settings.md again: `python -m carryall.config [ROOT]`."""

import sys
from pathlib import Path

from carryall.config.documents import write_documents

write_documents(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
