"""The telling process: `python -I <this folder> <control> <totals> <folder of the app>`, started by the server."""

import sys
from pathlib import Path

RUNTIME = Path(__file__).resolve().parents[2]

if __name__ == "__main__":
    sys.path[0] = str(RUNTIME)
    sys.path.insert(1, str(RUNTIME / "lib"))
    from slipway_server.telling.program import main  # type: ignore[import-not-found]  # wherever that is

    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])))
