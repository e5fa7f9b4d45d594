"""The video layer: regions that keep changing and compress badly travel as a stream of lossy frames."""
