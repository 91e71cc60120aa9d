"""Where weights are and how they get here. Loads no tensor."""
