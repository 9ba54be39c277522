"""Methods that learn embeddings of pictures."""
