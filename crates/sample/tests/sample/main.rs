//! What the crate sample promises, by its public interface.

mod conditions;
mod ddim;
mod guidance;
mod refused;
mod schedulers;
mod solvers;
mod text;
