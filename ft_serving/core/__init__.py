"""Code that all rooms of `ft_serving` share: formats, families, storage, the hub, errors."""
