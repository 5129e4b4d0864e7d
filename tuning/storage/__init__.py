"""Where the files of trials lie, and how storage with faults is waited for."""
