"""OCI registries: references, authority, and the distribution protocol."""
