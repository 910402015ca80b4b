//! What the downloader and its library promise.

mod conversion;
mod folder;
mod mnist;
mod program;
mod support;
