"""The technician's end of each capability, one module per word."""
