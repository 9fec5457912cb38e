"""Images, put together in Python: sources fetched, archives read, layers written, config and manifest over them."""
