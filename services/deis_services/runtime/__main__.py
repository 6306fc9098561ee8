"""`python -m deis_services.runtime`: the service as a process of its own."""

from deis_services.runtime.service import main

main()
