"""What the program asks Pulumi's engine for, without an engine, credentials or a cluster."""
