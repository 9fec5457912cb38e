"""What is said about an image, and kept beside it."""
