//! The binary of [`ipam::HostLocal`].

fn main() -> std::process::ExitCode {
    libcni::run::<ipam::HostLocal>()
}
