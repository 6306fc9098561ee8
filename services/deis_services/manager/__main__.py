"""`python -m deis_services.manager`: the service as a process of its own."""

from deis_services.manager.service import main

main()
