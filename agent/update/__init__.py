"""Updates: the list that TUF protects, checked and taken by a short-lived process (decision 0027)."""
