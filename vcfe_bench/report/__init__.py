"""What people look at: figures of a run."""
