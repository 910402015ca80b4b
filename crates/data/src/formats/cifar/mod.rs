//! CIFAR-10 and CIFAR-100, as <https://www.cs.toronto.edu/~kriz/cifar.html> publishes and describes them.

pub(crate) mod binary;
pub(crate) mod python;
mod set;
