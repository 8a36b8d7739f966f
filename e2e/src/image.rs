//! The image of all containers, without a registry.

use std::path::Path;
use std::process::Command;
use std::{fs, io};

use serde_json::json;
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

/// The name of the image: a busybox whose command sleeps. It is also the pause image, which holds
/// the namespaces of a pod.
pub const IMAGE: &str = "docker.io/library/pause:1";

/// Writes the image to `file`, in the format of `docker save`.
///
/// # Panics
///
/// If there is no static busybox.
pub fn image(file: &Path) {
    let layer = layer().expect("build the image's layer");
    let layer_id = hex(&layer);
    let config = json!({
        "architecture": architecture(), "os": "linux", "created": "2020-01-01T00:00:00Z",
        "config": { "Env": ["PATH=/bin"], "Cmd": ["/bin/sleep", "1000000"] },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{layer_id}")] }
    });
    let config = config.to_string().into_bytes();
    let (config_name, layer_name) =
        (format!("{}.json", hex(&config)), format!("{layer_id}/layer.tar"));
    let manifest = json!([{ "Config": config_name, "RepoTags": [IMAGE], "Layers": [layer_name] }]);
    let mut archive = Builder::new(fs::File::create(file).unwrap());
    for (name, data) in [
        (layer_name.as_str(), layer.as_slice()),
        (&config_name, &config),
        ("manifest.json", manifest.to_string().as_bytes()),
    ] {
        append(&mut archive, name, 0o644, data).expect("write the image");
    }
    archive.finish().expect("write the image");
}

/// The files of a container.
fn layer() -> io::Result<Vec<u8>> {
    let busybox = ["/bin/busybox", "/usr/bin/busybox"].iter().find(|path| Path::new(path).exists());
    let busybox = busybox.expect("no busybox: apt-get install busybox-static");
    let mut layer = Builder::new(Vec::new());
    for folder in ["bin", "dev", "etc", "proc", "run", "sys", "tmp", "www"] {
        let mut header = header(EntryType::Directory, 0o755);
        layer.append_data(&mut header, format!("{folder}/"), io::empty())?;
    }
    append(&mut layer, "bin/busybox", 0o755, &fs::read(busybox)?)?;
    append(&mut layer, "www/index.html", 0o644, b"served by a pod\n")?;
    let applets = Command::new(busybox).arg("--list").output()?.stdout;
    for applet in String::from_utf8_lossy(&applets).lines().filter(|name| *name != "busybox") {
        let mut header = header(EntryType::Symlink, 0o777);
        layer.append_link(&mut header, format!("bin/{applet}"), "busybox")?;
    }
    layer.into_inner()
}

fn append<W: io::Write>(
    tar: &mut Builder<W>,
    name: &str,
    mode: u32,
    data: &[u8],
) -> io::Result<()> {
    let mut header = header(EntryType::Regular, mode);
    header.set_size(data.len() as u64);
    tar.append_data(&mut header, name, data)
}

fn header(kind: EntryType, mode: u32) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(0);
    header
}

fn hex(data: &[u8]) -> String {
    Sha256::digest(data).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// This machine's architecture in the notation of images.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
