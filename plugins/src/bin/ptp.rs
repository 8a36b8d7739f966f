//! The program `ptp`.

fn main() -> std::process::ExitCode {
    ferrocni::ptp::run()
}
