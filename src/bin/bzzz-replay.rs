//! Tells what happened to the tasks of an exported bundle.

fn main() -> std::process::ExitCode {
    bzzz::cli::replay::main()
}
