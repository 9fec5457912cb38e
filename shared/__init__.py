"""Everything of Slipway that has no trigger in it."""
