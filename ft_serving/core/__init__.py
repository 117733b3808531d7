"""What every other room of `ft_serving` stands on: formats, families, storage, the hub, errors."""
