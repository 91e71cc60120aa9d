"""Training and evaluation of the demo pair.

Knows torch and diffusers' classes; nothing of the lab, its pages or its records.
"""
