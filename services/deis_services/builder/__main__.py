"""`python -m deis_services.builder`: the service as a process of its own."""

from deis_services.builder.service import main

main()
