"""Pixels: pictures in, frames and videos out, and the texts that files carry."""
