//! Facts of our own making: each path, port and name once.

pub mod limits;
pub mod names;
pub mod paths;
pub mod ports;
