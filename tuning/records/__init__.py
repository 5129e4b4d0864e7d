"""What is kept of a sweep and read again: its settings, results and findings."""
