//! A memory cgroup for a test, version 1 or 2 (`cgroups(7)`).

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use testbed::Cni;

/// A limit on the memory of all processes that are started within it. Dropping the value removes
/// it.
pub struct Limit {
    folder: PathBuf,
}

impl Limit {
    /// A cgroup `NAME-PID` that may use so many bytes.
    pub fn new(name: &str, bytes: u64) -> Limit {
        let (root, is_version_2) = hierarchy();
        let folder = root.join(format!("{name}-{}", std::process::id()));
        fs::create_dir(&folder).unwrap_or_else(|error| {
            panic!("make the memory cgroup {}: {error}: run as root", folder.display())
        });
        let limit = Limit { folder };
        let file = if is_version_2 { "memory.max" } else { "memory.limit_in_bytes" };
        let written = fs::write(limit.folder.join(file), bytes.to_string());
        written.unwrap_or_else(|error| panic!("set {file} of a memory cgroup: {error}"));
        limit
    }

    /// The call, with the plugin and all that it starts in the cgroup.
    pub fn around(&self, call: Cni) -> Cni {
        let enter = format!("echo 0 >{}/cgroup.procs && exec \"$0\"", self.folder.display());
        call.under(&["sh", "-c", &enter])
    }
}

impl Drop for Limit {
    fn drop(&mut self) {
        // The last process may take a moment to leave.
        for _ in 0..100 {
            if fs::remove_dir(&self.folder).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        eprintln!("the memory cgroup {} is still in use", self.folder.display());
    }
}

/// The parent of new memory cgroups, and whether it is of version 2.
fn hierarchy() -> (PathBuf, bool) {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let place = |is_it: &dyn Fn(&str) -> bool| {
        let line = mounts.lines().find(|line| is_it(line))?;
        Some(PathBuf::from(line.split(' ').nth(4)?))
    };
    let is_memory = |line: &str| {
        line.contains(" - cgroup ")
            && line
                .rsplit(' ')
                .next()
                .is_some_and(|options| options.split(',').any(|it| it == "memory"))
    };
    if let Some(root) = place(&is_memory) {
        return (root, false);
    }
    let root = place(&|line| line.contains(" - cgroup2 ")).expect("a cgroup hierarchy");
    let controllers = fs::read_to_string(Path::new(&root).join("cgroup.subtree_control")).unwrap();
    assert!(controllers.contains("memory"), "{}: no memory controller", root.display());
    (root, true)
}
