"""A stand-in for the `kubernetes` provider plugin of Pulumi."""
