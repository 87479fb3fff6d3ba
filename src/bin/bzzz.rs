//! The node and its command line.

fn main() -> std::process::ExitCode {
    bzzz::cli::node::main()
}
