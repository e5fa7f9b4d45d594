"""Back ends that work on several systems, none of them best."""
