"""What a technician may be allowed to do, one folder a word. What is not built here cannot be opened."""
