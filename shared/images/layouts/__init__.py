"""OCI image layouts on disk: written, read, and freed of what nothing refers to."""
