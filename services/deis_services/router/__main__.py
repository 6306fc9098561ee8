"""`python -m deis_services.router`: the service as a process of its own."""

from deis_services.router.service import main

main()
