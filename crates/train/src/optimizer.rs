//! Which optimiser moves which parameter of the network.

use duet_model::AUGMENT_EMBEDDING;

/// The optimiser of the parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Optimizer {
    /// AdamW for all parameters.
    AdamW,
    /// Muon for the hidden matrices ([`is_hidden_matrix`]), AdamW for the others.
    Muon,
}

const NAMES: [(&str, Optimizer); 2] = [("adamw", Optimizer::AdamW), ("muon", Optimizer::Muon)];

impl Optimizer {
    /// Whether Muon moves a parameter of this name and rank. AdamW moves all others.
    pub fn is_of_muon(self, name: &str, rank: usize) -> bool {
        self == Self::Muon && is_hidden_matrix(name, rank)
    }
}

duet_schedule::names_as_text!(Optimizer, "optimizer", NAMES);

/// The layers whose input is an image, a timestep, a class or an augmentation, and the layer whose output is an image.
const OUTER: [&str; 6] = [
    "conv_in.",
    "conv_out.",
    "time_proj.",
    "time_embedding.linear_1.",
    "class_embedding.",
    "augment_embedding.",
];

/// Whether a parameter is a matrix (or a convolution's filters) that maps features to features. Muon is
/// meant for these (Jordan et al. 2024).
pub fn is_hidden_matrix(name: &str, rank: usize) -> bool {
    rank > 1 && !OUTER.iter().any(|layer| name.starts_with(layer))
}

/// Whether weight decay applies to a parameter. It does not apply to norms and biases (rank 1), nor to the
/// embeddings of class and augmentation.
pub fn is_decayed(name: &str, rank: usize) -> bool {
    rank > 1 && name != "class_embedding.weight" && name != AUGMENT_EMBEDDING
}
