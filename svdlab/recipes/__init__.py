"""What is asked and what became of it, as frozen values. Nothing here opens a database or loads a model."""
