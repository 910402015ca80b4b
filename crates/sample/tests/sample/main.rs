//! The promises of the crate sample, through its public interface.

mod conditions;
mod ddim;
mod guidance;
mod refused;
mod schedulers;
mod seen;
mod solvers;
mod text;
