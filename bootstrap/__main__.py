"""`python -m bootstrap` is the command line."""

import sys

from bootstrap.cli.main import main

sys.exit(main())
