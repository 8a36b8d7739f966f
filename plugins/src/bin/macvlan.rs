//! The program `macvlan`.

fn main() -> std::process::ExitCode {
    ferrocni::macvlan::run()
}
