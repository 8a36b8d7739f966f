//! The program `tuning`.

fn main() -> std::process::ExitCode {
    ferrocni::tuning::run()
}
