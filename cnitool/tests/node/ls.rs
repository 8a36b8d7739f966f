//! `cnitool ls` on nodes of its own: containers are joined by the built plugins, and then things go
//! wrong.
mod leaks;
mod pools;
mod problems;
mod shown;
