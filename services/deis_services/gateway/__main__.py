"""`python -m deis_services.gateway`: the service as a process of its own."""

from deis_services.gateway.service import main

main()
