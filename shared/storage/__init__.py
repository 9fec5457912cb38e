"""Where documents, wake-ups and build logs are kept: Azure Storage, and twins in memory."""
