//! The library on a tiny model: runs, drawings, measuring, models in and out.

mod averages;
mod copies;
mod distill;
mod drawings;
mod evaluation;
mod exchange;
mod golden;
mod job;
mod library;
mod pages;
mod runs;
mod sets;
#[path = "../../examples/spoilt/spoil.rs"]
mod spoil;
mod spoilt;
mod support;
mod tiny;
mod transfer;
