"""python -m deploy.simulator serve|fleet|load|break|mend|failures"""

import sys

from deploy.simulator.cli import main

if __name__ == "__main__":
    sys.exit(main())
