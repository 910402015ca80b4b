//! Classifier-free guidance and DDIM around any denoiser.
