"""`python -m deis_services.logger`: the service as a process of its own."""

from deis_services.logger.service import main

main()
