"""From this machine to a cluster: which one, how to reach it, what travels, what comes back."""
