"""The technician's console: a page served on loopback by the technician's own process."""
