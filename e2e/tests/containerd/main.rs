//! containerd calls the plugins: pods start through the interface that the kubelet uses, and the
//! tests check the network of the node from outside.
#![cfg(test)]

mod calls;
mod failing;
mod killed;
mod many;
mod networks;
mod picture;
mod pods;
mod readme;
mod scene;
mod twice;
mod witness;
