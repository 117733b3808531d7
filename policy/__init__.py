"""Rules over the resources of a stack: a CrossGuard pack, and without one `ft-serving policy`."""
