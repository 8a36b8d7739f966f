//! `cnitool` on a node with live containers: what it shows, what it removes, and what it advises.
#![cfg(test)]

mod bed;
mod gc;
mod ls;
mod namespaces;
mod plan;
mod remedies;
