"""What the commands do, called from Python: a notebook, a script, another project."""
