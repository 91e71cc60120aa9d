"""The pages, one file each. They share parts and never import each other."""
