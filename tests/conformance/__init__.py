"""What Pulumi's provider plugins do, asserted on whichever plugins are in use.

Each test runs small programs through Pulumi's own engine. What is expected was seen on the real
plugins: kubernetes 4.27.0 and docker 5.1.0.
"""
