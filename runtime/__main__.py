"""The scoring server of every image: `python /opt/slipway/runtime`, in the folder that holds the driver.

Its packages are in `lib`, beside this file. Where there is no such folder they come from the Python that runs it.
"""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent

if __name__ == "__main__":
    sys.path.insert(0, str(HERE / "lib"))
    from slipway_server.main import main  # type: ignore[import-not-found]  # beside this file, wherever that is

    sys.exit(main())
