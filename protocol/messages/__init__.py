"""The messages on each wire, one module per channel. The relay may import `control` and `presence` alone."""
