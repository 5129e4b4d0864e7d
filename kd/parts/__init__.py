"""What methods are made of: losses, soft-label memories, auxiliary heads."""
