//! The node of a test: private network and mount namespaces on the test's thread.

use std::cell::{Cell, RefCell};
use std::fs;
use std::marker::PhantomData;
use std::ops::Deref;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use crate::pod::{self, Pod};
use crate::{Cni, View};

thread_local! {
    /// Whether this thread is already a node.
    static TAKEN: Cell<bool> = const { Cell::new(false) };
}

/// A node of the test. Its network namespace contains only `lo`.
///
/// It is bound to the thread that made it: commands, plugins and threads that this thread starts
/// are in the node. `/run`, `/var/lib/cni` and `/etc/cni` are private empty directories; the rest
/// of the file system, including `/sys`, is the machine's. As a [`Pod`] it is the network namespace
/// of the node: `node.sh("ip addr")`, `node.ping(..)`.
#[derive(Debug)]
pub struct Node {
    host: Pod,
    pods: RefCell<Vec<Pod>>,
    /// The mounts when it was made.
    mounts: Vec<String>,
    /// Namespaces belong to a thread, so the node must stay on this one.
    not_send: PhantomData<*const ()>,
}

/// A machine outside the node, connected by a veth pair, without a route to the pods. It answers
/// only packets that the node masquerades.
#[derive(Debug)]
pub struct Outside {
    namespace: Pod,
    /// The IPv4 address.
    pub v4: &'static str,
    /// The IPv6 address.
    pub v6: &'static str,
}

impl Node {
    /// Makes the calling thread a node.
    ///
    /// # Panics
    ///
    /// Without root privileges (run `scripts/test`), or if the thread is already a node.
    #[allow(clippy::new_without_default, reason = "it changes the calling thread: not a default")]
    pub fn new() -> Node {
        assert!(!TAKEN.replace(true), "this thread is a node already: one node in a test");
        let flags = CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS;
        match unshare(flags) {
            Ok(()) => {}
            Err(Errno::EPERM) => {
                panic!("namespaces need root: run scripts/test, also without root")
            }
            Err(error) => panic!("cannot make a private node: unshare: {error}"),
        }
        own_folders();
        let host = Pod::of_this_thread("node", "/run/testbed/node");
        host.run(&["ip", "link", "set", "lo", "up"]);
        Node { host, pods: RefCell::default(), mounts: View::mounts(), not_send: PhantomData }
    }

    /// A new network namespace at `/run/netns/NAME`, with a `lo` that is down.
    pub fn pod(&self, name: &str) -> Pod {
        let pod = Pod::create(name, &format!("/run/netns/{name}"));
        self.pods.borrow_mut().push(pod.clone());
        pod
    }

    /// Deletes the namespace of a pod, with its links and its file.
    pub fn delete(&self, pod: &Pod) {
        self.pods.borrow_mut().retain(|other| other.path() != pod.path());
        pod.unlink();
    }

    /// A machine outside the node, connected to a link `uplink`. Duplicate address detection is
    /// over, as on a machine that has been up for a while.
    pub fn outside(&self) -> Outside {
        let outside = self.pod("outside");
        // With ifindex 2 on both ends the kernel takes a second to detect the carrier, and IPv6
        // waits for it.
        self.sh("ip link add uplink index 1000 type veth peer name eth0 netns /run/netns/outside
            ip addr add 192.0.2.1/24 dev uplink
            ip addr add 2001:db8:ffff::1/64 dev uplink nodad
            sysctl -qw net.ipv6.conf.uplink.accept_dad=0
            ip link set uplink up");
        outside.sh("ip addr add 192.0.2.2/24 dev eth0
            ip addr add 2001:db8:ffff::2/64 dev eth0 nodad
            sysctl -qw net.ipv6.conf.eth0.accept_dad=0
            ip link set eth0 up; ip link set lo up");
        Outside { namespace: outside, v4: "192.0.2.2", v6: "2001:db8:ffff::2" }
    }

    /// Makes a private empty directory in an existing directory of the machine: `/opt/cni`.
    pub fn own(&self, folder: &str) {
        own(folder);
    }

    /// A call of the built plugin `name`.
    pub fn plugin(&self, name: &str) -> Cni {
        Cni::new(name)
    }

    /// The state of the node and its pods, as sorted text for [`diff`](crate::diff). See [`View`]
    /// for what it omits.
    pub fn state(&self) -> String {
        self.state_as(View::default())
    }

    /// As [`state`](Node::state), with additional objects.
    pub fn state_as(&self, view: View) -> String {
        let mut text = view.of(&self.host);
        let mut pods = self.pods.borrow().clone();
        pods.sort_by(|a, b| a.name().cmp(b.name()));
        pods.iter().for_each(|pod| text.push_str(&view.of(pod)));
        text.push_str(&view.files());
        if view.mounts {
            text.push_str("== mounts\n");
            self.mounted(&pods).iter().for_each(|line| text.push_str(&format!("{line}\n")));
        }
        text
    }

    /// The mounts beyond those of the node and its pods.
    fn mounted(&self, pods: &[Pod]) -> Vec<String> {
        let of_a_pod = |line: &str| {
            let place = line.split(' ').nth(1).unwrap_or_default();
            pods.iter().any(|pod| pod.path() == Path::new(place))
        };
        let mut before = self.mounts.clone();
        let mut mounts = View::mounts();
        // A directory may be mounted twice.
        mounts.retain(|line| match before.iter().position(|old| old == line) {
            Some(known) => {
                before.remove(known);
                false
            }
            None => !of_a_pod(line),
        });
        mounts
    }
}

impl Deref for Node {
    type Target = Pod;
    fn deref(&self) -> &Pod {
        &self.host
    }
}

impl Deref for Outside {
    type Target = Pod;
    fn deref(&self) -> &Pod {
        &self.namespace
    }
}

impl Drop for Node {
    /// The namespaces end with the thread; the files of the pods end with the mount namespace.
    fn drop(&mut self) {
        TAKEN.set(false);
    }
}

/// Makes private directories `/run`, `/var/lib/cni` and `/etc/cni` in the mount namespace of this
/// thread.
fn own_folders() {
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
        .unwrap_or_else(|error| panic!("make the mounts private: {error}"));
    tmpfs("/run");
    for folder in ["/run/netns", "/run/testbed"] {
        fs::create_dir(folder).unwrap();
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    }
    own("/var/lib/cni");
    own("/etc/cni");
}

/// Makes a private empty directory `folder` in the mount namespace of this thread. Its parent must
/// exist on the machine.
fn own(folder: &str) {
    if !Path::new(folder).is_dir() {
        overlay(Path::new(folder).parent().unwrap());
        fs::create_dir(folder).unwrap();
    }
    tmpfs(folder);
}

fn tmpfs(folder: &str) {
    mount(Some("tmpfs"), folder, Some("tmpfs"), MsFlags::empty(), Some("mode=755"))
        .unwrap_or_else(|error| panic!("mount a tmpfs over {folder}: {error}"));
}

/// Makes `folder` writable without effect on the machine. Does nothing if it is already.
fn overlay(folder: &Path) {
    let changes = format!("/run/testbed/{}", pod::file_name(folder));
    if Path::new(&changes).is_dir() {
        return;
    }
    let (upper, work) = (format!("{changes}/upper"), format!("{changes}/work"));
    for path in [&changes, &upper, &work] {
        fs::create_dir(path).unwrap();
    }
    fs::set_permissions(&upper, fs::metadata(folder).unwrap().permissions()).unwrap();
    let options = format!("lowerdir={},upperdir={upper},workdir={work}", folder.display());
    let options = Some(options.as_str());
    let made = mount(Some("overlay"), folder, Some("overlay"), MsFlags::empty(), options);
    made.unwrap_or_else(|error| {
        panic!(
            "mount an overlay on {}: {error}; as root, make the folders /var/lib/cni and /etc/cni",
            folder.display()
        )
    });
}
