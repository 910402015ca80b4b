//! Training of class-conditional diffusion models: loss, label dropout, AdamW, EMA, checkpoints.
