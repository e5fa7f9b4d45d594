"""Wayland: what the compositor says of its outputs, and pixelflux for their pictures."""
