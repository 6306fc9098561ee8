"""`python -m deis_services.shipper`: the service as a process of its own."""

from deis_services.shipper.service import main

main()
