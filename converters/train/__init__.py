"""Training of networks over their execution paths (extra ``[train]``: PyTorch and transformers)."""
