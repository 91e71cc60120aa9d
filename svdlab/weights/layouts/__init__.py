"""How weights are laid out on a disk: folders as diffusers writes them, single files, and what their tensors make."""
