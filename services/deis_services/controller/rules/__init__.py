"""The controller's decisions as pure functions: values in, values or refusals out.

Wrong input raises `fields.Invalid` (400 with a map of fields); a rule that says no raises
`deis_bus.errors.Refused` with the status and the sentence of api.md.
"""

from deis_services.controller.rules.fields import Invalid

__all__ = ["Invalid"]
