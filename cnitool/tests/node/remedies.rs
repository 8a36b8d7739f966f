//! Executes every remedy that is printed, on a node where containers of the same network and of
//! another one live. The remedy has the promised effect, and the live containers are not affected.
mod errors;
mod leaks;
mod lint;
mod node;
mod renamed;
