//! The binary of [`ipam::Static`].

fn main() -> std::process::ExitCode {
    libcni::run::<ipam::Static>()
}
