"""What the relay keeps: organisations, devices, enrollers, policies."""
