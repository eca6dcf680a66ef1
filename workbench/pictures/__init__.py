"""Pictures that need no kernel: heat maps, strips of slots, curves."""
