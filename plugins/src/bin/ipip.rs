//! The program `ipip`.

fn main() -> std::process::ExitCode {
    ferrocni::ipip::run()
}
