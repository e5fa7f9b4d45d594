"""The process that runs as the person: prompt, indicator, input, and the screen worker's parent."""
