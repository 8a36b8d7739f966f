//! The program `bridge`.

fn main() -> std::process::ExitCode {
    ferrocni::bridge::run()
}
