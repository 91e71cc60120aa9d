"""What pages are made of: one folder a part, with its Python, script, markup and style."""
