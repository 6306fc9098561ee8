"""The controller: rules, state, operations, releases, the reconciler."""
