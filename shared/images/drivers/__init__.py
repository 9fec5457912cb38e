"""The driver, as far as it can be known before it runs."""
