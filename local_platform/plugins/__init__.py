"""Provider plugins of Pulumi: which are used, and the stand-ins for the real ones."""
