//! The sandbox without isolation.

use std::fs;
use std::path::Path;

use bzzz::integrations::process::{ProcessSandbox, ProcessSettings};
use bzzz::integrations::sandbox::{Chunk, CommandStatus, Limits, Sandbox, SandboxError};
use tokio::sync::mpsc;

use super::{MIB, bytes, limits, run, spec, text};

fn processes(root: &Path) -> Sandbox {
    Sandbox::Process(ProcessSandbox::new(ProcessSettings::new(root.join("sandboxes"))))
}

/// Whether a process with this number is there and not merely waiting to be reaped.
fn is_alive(pid: &str) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().is_some_and(|rest| rest.starts_with(" Z")))
}

fn wait_dead(pid: &str) {
    while is_alive(pid.trim()) {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

#[tokio::test]
async fn process_runs_on_a_copy() {
    let root = tempfile::tempdir().unwrap();
    let tree = tempfile::tempdir().unwrap();
    fs::write(tree.path().join("file"), "old\n").unwrap();
    let sandbox = processes(root.path());
    assert!(sandbox.check().await.unwrap().contains("NO isolation"));
    let handle = sandbox.open(&spec("copy", tree.path(), limits())).await.unwrap();
    let (finished, chunks) = run(&handle, "cat file; echo new > file; echo e >&2; exit 3").await;
    assert_eq!(finished.status, CommandStatus::Exited(3));
    assert_eq!(chunks.len(), 2);
    assert_eq!(finished.output_total, 6);
    assert_eq!(fs::read_to_string(tree.path().join("file")).unwrap(), "old\n");
    let names = "env | cut -d= -f1 | grep -v -e PWD -e SHLVL -e ^_ | sort | tr '\\n' ' '";
    assert_eq!(text(&handle, names).await, "HOME LANG PATH ");
    let dest = root.path().join("out");
    handle.export(&dest).await.unwrap();
    assert_eq!(fs::read_to_string(dest.join("file")).unwrap(), "new\n");
    handle.close().await.unwrap();
    let (sink, _source) = mpsc::channel(1);
    assert!(matches!(handle.run("true", sink).await, Err(SandboxError::Gone { .. })));
}

#[tokio::test]
async fn process_bounds_time_and_output() {
    let root = tempfile::tempdir().unwrap();
    let tree = tempfile::tempdir().unwrap();
    let limits = Limits { command_seconds: 2, ..limits() };
    let handle = processes(root.path()).open(&spec("bounds", tree.path(), limits)).await.unwrap();
    let stubborn = "trap '' TERM; sleep 1000 & echo $!; while :; do sleep 1; done";
    let (finished, chunks) = run(&handle, stubborn).await;
    assert_eq!(finished.status, CommandStatus::TimedOut);
    wait_dead(&String::from_utf8(bytes(&chunks)).unwrap());
    let (finished, chunks) = run(&handle, "sleep 1000 & echo $!").await;
    assert_eq!(finished.status, CommandStatus::Exited(0));
    wait_dead(&String::from_utf8(bytes(&chunks)).unwrap());
    let (finished, chunks) = run(&handle, "yes").await;
    assert_eq!(finished.status, CommandStatus::TimedOut);
    assert_eq!(bytes(&chunks).len(), 100_000);
    assert!(finished.truncated && finished.output_total > 100_000);
    let (finished, _) = run(&handle, "cat /dev/zero > big").await;
    assert_ne!(finished.status, CommandStatus::Exited(0));
    assert!(fs::metadata(root.path().join("sandboxes")).unwrap().is_dir());
    let size = text(&handle, "stat -c %s big").await;
    assert!(size.trim().parse::<u64>().unwrap() <= 16 * MIB, "{size}");
}

#[tokio::test]
async fn process_ends_with_its_call_and_its_sandbox() {
    let root = tempfile::tempdir().unwrap();
    let tree = tempfile::tempdir().unwrap();
    let sandbox = processes(root.path());
    let spec = spec("ends", tree.path(), limits());
    let handle = sandbox.open(&spec).await.unwrap();
    let command = "sleep 1000 & echo $!; wait";
    let (sink, mut source) = mpsc::channel::<Chunk>(8);
    let pid = {
        let running = handle.run(command, sink);
        tokio::pin!(running);
        tokio::select! {
            ended = &mut running => panic!("{ended:?}"),
            chunk = source.recv() => String::from_utf8(chunk.unwrap().bytes).unwrap(),
        }
    };
    wait_dead(&pid);

    let (sink, mut source) = mpsc::channel::<Chunk>(8);
    let close = async {
        let pid = source.recv().await.unwrap().bytes;
        handle.close().await.unwrap();
        String::from_utf8(pid).unwrap()
    };
    let (finished, pid) = tokio::join!(handle.run(command, sink), close);
    let closed = CommandStatus::Killed("the sandbox was closed".to_owned());
    assert_eq!(finished.unwrap().status, closed);
    wait_dead(&pid);

    let orphan = sandbox.open(&spec).await.unwrap();
    assert!(matches!(sandbox.open(&spec).await, Err(SandboxError::Exists { .. })));
    assert_eq!(sandbox.remove_orphans("someone-else").await.unwrap(), [""; 0]);
    assert_eq!(sandbox.remove_orphans(&spec.owner).await.unwrap(), [spec.name.as_str()]);
    let (sink, _source) = mpsc::channel(1);
    assert!(matches!(orphan.run("true", sink).await, Err(SandboxError::Gone { .. })));
}
