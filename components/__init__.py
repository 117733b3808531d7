"""The Pulumi components that a stack is made of, one a module, each usable on its own."""
