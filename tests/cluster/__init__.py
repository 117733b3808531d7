"""One Kubernetes API client, diagnosis and gate."""
