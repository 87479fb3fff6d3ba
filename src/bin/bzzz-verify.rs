//! Verifies an exported bundle offline.

fn main() -> std::process::ExitCode {
    bzzz::cli::verify::main()
}
