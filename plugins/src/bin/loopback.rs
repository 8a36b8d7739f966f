//! The program `loopback`.

fn main() -> std::process::ExitCode {
    ferrocni::loopback::run()
}
