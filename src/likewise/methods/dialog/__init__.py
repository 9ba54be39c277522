"""Methods that learn what an utterance of a dialog does."""
