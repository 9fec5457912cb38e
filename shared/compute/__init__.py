"""Where services run: one adapter a kind of compute."""
