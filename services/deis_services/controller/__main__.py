"""`python -m deis_services.controller`: the service as a process of its own."""

from deis_services.controller.service import main

main()
