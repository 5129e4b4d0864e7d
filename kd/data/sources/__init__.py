"""The kinds of data sets, one file each."""
