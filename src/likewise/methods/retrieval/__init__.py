"""Methods that learn which document answers which query."""
