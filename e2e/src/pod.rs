//! A pod that containerd runs.

use std::net::{IpAddr, TcpStream};
use std::ops::Deref;
use std::time::{Duration, Instant};

use serde_json::Value;

#[cfg(doc)]
use crate::Cri;
use crate::{Containerd, IMAGE, Sandbox};

/// A pod; it is stopped and removed when dropped. As a [`testbed::Pod`] it is its network
/// namespace.
#[derive(Debug)]
pub struct Pod<'a> {
    containerd: &'a Containerd,
    sandbox: Sandbox,
    id: String,
    addresses: Vec<String>,
    namespace: testbed::Pod,
    is_left: bool,
}

/// A container in a pod. It ends with the pod.
#[derive(Debug)]
pub struct Container<'a> {
    containerd: &'a Containerd,
    id: String,
}

impl Containerd {
    /// Starts a pod.
    ///
    /// # Panics
    ///
    /// If it does not start; [`Cri::run_sandbox`] returns an error instead.
    pub fn pod(&self, name: &str) -> Pod<'_> {
        self.pod_of(Sandbox::new(name))
    }

    /// Starts a pod with ports or annotations.
    pub fn pod_of(&self, sandbox: Sandbox) -> Pod<'_> {
        match self.run_sandbox(&sandbox) {
            Ok(id) => Pod::of(self, sandbox, id),
            Err(error) => panic!("start the pod {}: {error}\n{}", sandbox.name, self.log()),
        }
    }
}

impl<'a> Pod<'a> {
    /// The pod of a running sandbox.
    pub fn of(containerd: &'a Containerd, sandbox: Sandbox, id: String) -> Pod<'a> {
        let (addresses, info) = containerd.sandbox(&id).expect("ask about the pod");
        let namespaces = info["runtimeSpec"]["linux"]["namespaces"].as_array();
        let path = namespaces
            .into_iter()
            .flatten()
            .find(|namespace| namespace["type"] == "network")
            .and_then(|namespace| namespace["path"].as_str())
            .unwrap_or_else(|| panic!("the pod {} has no namespace: {info:#}", sandbox.name));
        let namespace = testbed::Pod::at(&sandbox.name, path);
        Pod { containerd, sandbox, id, addresses, namespace, is_left: false }
    }

    /// Does not stop and remove the pod when dropped. Returns the ID for the caller to do so.
    pub fn leave(mut self) -> String {
        self.is_left = true;
        self.id.clone()
    }

    /// The ID of the sandbox, which is the container ID of the plugins.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The addresses, as the runtime reports them.
    pub fn addresses(&self) -> &[String] {
        &self.addresses
    }

    /// The runtime's verbose information.
    pub fn info(&self) -> Value {
        self.containerd.sandbox(&self.id).expect("ask about the pod").1
    }

    /// Starts a container in the pod.
    pub fn start(&self, command: &[&str]) -> Container<'a> {
        let started = self.containerd.run_container(&self.id, &self.sandbox, IMAGE, command);
        let id = started.unwrap_or_else(|error| {
            panic!("start {command:?} in the pod {}: {error}", self.sandbox.name)
        });
        Container { containerd: self.containerd, id }
    }

    /// Starts a web server in the pod, which serves `served by a pod`, and waits until it listens.
    pub fn serve(&self) -> Container<'a> {
        let server = self.start(&["httpd", "-f", "-p", "80", "-h", "/www"]);
        let address: IpAddr = self.addresses[0].parse().unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        while let Err(error) = self.enter(|| TcpStream::connect((address, 80))) {
            assert!(Instant::now() < deadline, "no server on {address}: {error}");
            std::thread::sleep(Duration::from_millis(5));
        }
        server
    }
}

impl Container<'_> {
    /// Runs a command in the container, which must succeed. Returns the output.
    pub fn exec(&self, command: &[&str]) -> String {
        let (status, printed) = self.containerd.exec(&self.id, command).expect("run a command");
        assert_eq!(status, 0, "{command:?}: {printed}");
        printed
    }
}

impl Deref for Pod<'_> {
    type Target = testbed::Pod;
    fn deref(&self) -> &testbed::Pod {
        &self.namespace
    }
}

impl Drop for Pod<'_> {
    fn drop(&mut self) {
        if self.is_left {
            return;
        }
        let ended = self.containerd.stop_sandbox(&self.id);
        let ended = ended.and_then(|()| self.containerd.remove_sandbox(&self.id));
        if let Err(error) = ended
            && !std::thread::panicking()
        {
            panic!("remove the pod {}: {error}\n{}", self.sandbox.name, self.containerd.log());
        }
    }
}
