"""One training: the loop, its step, its teacher, its checkpoints, its workers."""
