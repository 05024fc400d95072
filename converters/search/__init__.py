"""The search for execution paths: what to cut from pretrained weights for each budget of time, without training."""
