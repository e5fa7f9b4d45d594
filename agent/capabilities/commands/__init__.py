"""Approved commands of the signed catalogue, on the device's side."""
