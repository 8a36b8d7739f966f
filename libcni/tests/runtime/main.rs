//! The runtime side, with shell scripts in the place of foreign plugins.
#![cfg(test)]

mod bed;
mod cache;
mod chain;
mod conf;
mod folder;
mod gc;
mod misbehaviour;
mod ours;
mod version;
