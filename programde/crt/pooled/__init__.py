"""Units that are compared with the same control cells: what the controls give is made once."""
