"""Models and assets: fetched, checked, unpacked, and packed in one pass."""
