"""Methods that learn sentence embeddings."""
