"""`python -I -m deis_services.slugrunner COMMAND`."""

import sys

from deis_services.slugrunner.runner import main

main(sys.argv[1:])
