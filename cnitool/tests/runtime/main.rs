//! cnitool as a runtime, with shell scripts in the place of plugins: cases in which Go's libcni is
//! the measure.
#![cfg(test)]

mod bed;
mod entries;
mod lists;
mod neighbours;
mod results;
