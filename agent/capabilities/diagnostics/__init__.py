"""How this computer is doing, on the device's side."""
