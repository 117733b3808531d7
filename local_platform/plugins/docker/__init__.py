"""Stand-in for Pulumi's docker plugin: builds and pushes images, and serves nothing else of it."""
