//! Which optimiser moves which parameter of the network.

use duet_model::AUGMENT_EMBEDDING;
use std::fmt;
use std::str::FromStr;

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

impl fmt::Display for Optimizer {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(NAMES.iter().find(|(_, optimizer)| optimizer == self).map_or("", |(name, _)| name))
    }
}

impl FromStr for Optimizer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = NAMES.iter().find(|(name, _)| *name == text).map(|(_, optimizer)| *optimizer);
        found.ok_or_else(|| {
            format!("optimizer \"{text}\": use one of {}", NAMES.map(|(name, _)| name).join(", "))
        })
    }
}

duet_schedule::serde_as_text!(Optimizer);

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
