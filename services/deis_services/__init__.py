"""The services of the platform; each meets the others only on the bus."""
