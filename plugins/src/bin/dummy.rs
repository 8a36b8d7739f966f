//! The program `dummy`.

fn main() -> std::process::ExitCode {
    ferrocni::dummy::run()
}
