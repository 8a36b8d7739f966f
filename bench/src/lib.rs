//! Measures plugins against others in one run, in turn: see `bench/README.md`.

pub mod call;
pub mod case;
pub mod cases;
pub mod contestant;
pub mod job;
pub mod measure;
pub mod results;
pub mod sandboxes;
pub mod stage;
pub mod statistics;
pub mod svg;
pub mod table;
