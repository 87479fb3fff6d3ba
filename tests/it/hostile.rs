//! Hostile commands, a hostile repository and a hostile issue, in real containers. One sandbox
//! bears many attacks, so that they take little time. The limits that one command can run into are
//! in `sandbox`, forged trees and remotes in `git`.

mod egress;
mod node;

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::process::Command;

use bzzz::integrations::git::GitError;
use bzzz::integrations::sandbox::{CommandStatus, Limits};

use super::git::{Fixture, author};
use super::sandbox::{Bed, docker, limits, spec};

/// Something listens on every address of the host, as the node's API does on one of them.
#[tokio::test]
async fn docker_reaches_nothing_but_itself() {
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let host = Command::new("hostname").arg("-I").output().unwrap();
    let host = String::from_utf8(host.stdout).unwrap();
    let known = "127.0.0.1 169.254.169.254 172.17.0.1 192.0.2.1 localhost host.docker.internal";
    let bed = Bed::new("reaches", limits()).await;
    let attempts = format!(
        "for a in {known} {host}; do for p in {port} 80 443 2375; do \
         nc -w 2 $a $p </dev/null >/dev/null && echo reached $a $p; done; done 2>/dev/null; \
         wget -T 2 -q -O - http://169.254.169.254/latest/meta-data/ 2>/dev/null && echo metadata; \
         nslookup example.org >/dev/null 2>&1 && echo names; \
         ls /sys/class/net; wc -l </proc/net/route; find / -xdev -type s 2>/dev/null; echo end"
    );
    assert_eq!(bed.text(&attempts.replace('\n', " ")).await, "lo\n1\nend\n");
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err(), "something reached the host");
    // Who may, does.
    TcpStream::connect(("127.0.0.1", port)).unwrap();

    let other = Bed::new("reaches-other", limits()).await;
    other.run("echo theirs > /work/marker; echo theirs > /tmp/marker").await;
    let look = "ps -o args | grep -v -e ps -e grep -e sh -e sleep -e init; \
                find / -xdev -name marker 2>/dev/null; echo end";
    let seen = bed.text(look).await;
    assert!(!seen.contains("marker"), "{seen}");
    for socket in ["/var/run/docker.sock", "/run/docker.sock", "/run/podman/podman.sock"] {
        assert_eq!(bed.text(&format!("ls -d {socket} 2>/dev/null")).await, "");
    }
}

#[tokio::test]
async fn docker_gets_no_more_rights() {
    let bed = Bed::new("rights", limits()).await;
    let attempts = [
        "echo x > /bin/busybox",
        "rm -f /bin/sh",
        "echo 'root::0:0::/:/bin/sh' >> /etc/passwd",
        "mv /etc /tmp/etc",
        "mount -o remount,rw /",
        "mount --bind /bin /work",
        "umount /work",
        "chroot / true",
        "hostname other",
        "mknod null c 1 3",
        "mknod /tmp/sda b 8 0",
        "cat /dev/mem",
        "cat /proc/kcore",
        "cat /proc/1/environ",
        "cat /proc/1/mem",
        "cd /proc/1/root",
        "cd /proc/1/cwd",
        "ls /proc/1/fd/",
        "kill -9 1",
        "echo 1 > /proc/sys/vm/drop_caches",
        "echo b > /proc/sysrq-trigger",
        "echo -1000 > /proc/self/oom_score_adj",
        "renice -n -5 $$",
        "ulimit -n 100000",
        "su -c true root",
        "ln /bin/busybox linked",
    ];
    let script: String = attempts
        .iter()
        .map(|attempt| format!("( {attempt} ) >/dev/null 2>&1 && echo \"done: {attempt}\"\n"))
        .collect();
    assert_eq!(bed.text(&format!("{script} echo end")).await, "end\n");
    // What belongs to root by its mode is nobody's here, and what is made so gives nothing.
    let setuid = "find / -xdev -type f \\( -perm -4000 -o -perm -2000 \\) 2>/dev/null; \
                  cp /bin/busybox id && chmod 6755 id && ./id -u && ./id -g; \
                  grep -c -e ' /work tmpfs .*nosuid.*nodev' -e ' /tmp tmpfs .*nosuid.*nodev' \
                  /proc/mounts; grep NoNewPrivs /proc/self/status";
    assert_eq!(bed.text(setuid).await, "1000\n1000\n2\nNoNewPrivs:\t1\n");
}

/// Files without content, files with content, and memory, one after the other in one sandbox.
#[tokio::test]
async fn docker_fills_nothing_but_itself() {
    let bed = Bed::new("fills", limits()).await;
    let sh = "i=0; while true > f$i; do i=$((i+1)); done; echo $i; cd /work; \
              find . -name 'f*' -exec rm -f {} +";
    let (finished, chunks) = bed.run(sh).await;
    let said = String::from_utf8(super::sandbox::bytes(&chunks)).unwrap();
    assert_eq!(finished.status, CommandStatus::Exited(0));
    assert!(said.contains("No space left on device"), "{said}");
    let made = said.lines().find_map(|line| line.parse::<u64>().ok()).unwrap();
    assert!((4096..=8192).contains(&made), "{made} files in 16 MiB");
    for place in ["/work", "/tmp", "/dev/shm"] {
        let fill = format!("cat /dev/zero > {place}/big");
        let (finished, chunks) = bed.run(&fill).await;
        let said = String::from_utf8(super::sandbox::bytes(&chunks)).unwrap();
        // At the end of the room, or at the size that one file may have.
        let full = finished.status == CommandStatus::Exited(1) && said.contains("No space left");
        let large = finished.status == CommandStatus::Killed("signal 25".to_owned());
        assert!(full || large, "{place}: {:?} {said}", finished.status);
    }
    let hog = "exec awk 'BEGIN { s = \"x\"; while (1) s = s s }'";
    let (finished, _) = bed.run(hog).await;
    assert_eq!(finished.status, CommandStatus::Killed("out of memory".to_owned()));
    let alive = bed.text("rm -f big /tmp/big /dev/shm/big; sh hello.sh").await;
    assert_eq!(alive, "hello from a file\n");
}

/// What a command leaves running, or does without end, is gone when the next one begins.
#[tokio::test]
async fn docker_survives_one_attack_after_the_other() {
    let bed = Bed::new("attacks", Limits { command_seconds: 2, ..limits() }).await;
    let late = [
        // In a shell of its own: one that cannot fork ends.
        "(b() { b | b & }; b) 2>/dev/null & while :; do :; done",
        "yes",
        "trap '' TERM INT HUP QUIT; while :; do sleep 1; done",
        "(while :; do setsid sh -c 'sleep 1000 & sleep 1000' & done) 2>/dev/null & \
         while :; do :; done",
        "sh -c 'kill -STOP $$'; sleep 1000",
    ];
    for attack in late {
        let (finished, _) = bed.run(attack).await;
        assert_eq!(finished.status, CommandStatus::TimedOut, "{attack}");
        assert_eq!(bed.others().await, [""; 0], "{attack}");
    }
    let daemon = "(setsid sh -c 'trap \"\" TERM HUP; (while :; do echo on; sleep 1; done) &' \
                  >/tmp/on 2>&1 </dev/null &); sleep 0.2; echo gone";
    let (finished, _) = bed.run(daemon).await;
    assert_eq!(finished.status, CommandStatus::Exited(0));
    assert_eq!(bed.others().await, [""; 0]);
    assert_eq!(bed.text("sh hello.sh").await, "hello from a file\n");
}

/// What a command leaves in the tree, on its way into a commit.
#[tokio::test]
async fn docker_a_commit_holds_plain_files_alone() {
    let fixture = Fixture::new(&[("hello.sh", "echo hello from a file\n")]);
    let mirror = fixture.mirror("m").await;
    let base = mirror.fetch_base().await.unwrap();
    let bed = Bed::new("commit", limits()).await;
    let ran = fixture.path("ran");
    let outside = fixture.path("outside");
    fs::write(&outside, "a file of the host\n").unwrap();
    let make = format!(
        "mkdir -p .git/hooks .GIT sub/.Git deep && \
         printf '#!/bin/sh\\ntouch {ran}\\n' | tee .git/hooks/pre-push sub/.Git/post-checkout \
           >/dev/null && chmod +x .git/hooks/pre-push && \
         printf '[core]\\n\\tfsmonitor = touch {ran}\\n\\thooksPath = .git/hooks\\n' \
           > .git/config && \
         cp .git/config .GIT/config && echo 'gitdir: {outside}' > deep/.git && \
         printf '* filter=evil\\n' > .gitattributes && mkfifo pipe && ln hello.sh twin && \
         echo new > \"$(printf 'new\\nline')\" && echo tab > \"$(printf 't\\tb\\033[2J')\" && \
         echo made > ' .. ' && echo done",
        ran = ran.display(),
        outside = outside.display(),
    );
    assert_eq!(bed.text(&make).await, "done\n");
    let out = fixture.path("out");
    let exported = bed.handle.export(&out).await.unwrap();
    for left in [".git/config", ".GIT/config", "sub/.Git/post-checkout", "deep/.git", "pipe"] {
        assert!(exported.left_out.iter().any(|path| path == left), "{left}: {exported:?}");
    }
    let links = |name: &str| fs::metadata(out.join(name)).unwrap().nlink();
    assert_eq!((links("hello.sh"), links("twin")), (1, 1), "a hard link is a file of its own");
    let commit = mirror.commit_tree(&out, &base, "Work", &author()).await.unwrap();
    let stat = mirror.diff_stat(&base, &commit).await.unwrap();
    let names: Vec<&str> = stat.files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(names, [" .. ", ".gitattributes", "new\nline", "t\tb\u{1b}[2J", "twin"]);
    assert!(!ran.exists(), "a program that the tree names was run");

    // Names that some file system takes for git's own directory, and a link to the host.
    for (hide, why) in [
        ("mkdir 'git~1' && echo x > 'git~1/config'", "git's own directory"),
        ("echo x > '.git '", "git's own directory"),
    ] {
        bed.run(hide).await;
        let out = fixture.path("out-again");
        bed.handle.export(&out).await.unwrap();
        let refused = mirror.commit_tree(&out, &base, "Work", &author()).await;
        let Err(GitError::BadPath { why: said, .. }) = &refused else { panic!("{refused:?}") };
        assert!(said.contains(why), "{said}");
        fs::remove_dir_all(&out).unwrap();
        bed.run("rm -rf 'git~1' '.git '").await;
    }
    bed.run(&format!("ln -s {} deep/link", outside.display())).await;
    let error = bed.handle.export(&fixture.path("out-last")).await.unwrap_err().to_string();
    assert!(error.contains("a link that leads out of it"), "{error}");
    assert!(!fixture.path("out-last").exists());
}

/// A name of a sandbox, an image or a runtime is a name, never a path or an option.
#[tokio::test]
async fn docker_names_are_only_names() {
    let tree = tempfile::tempdir().unwrap();
    for bad in ["../up", "-v", "a b", "a:b"] {
        let mut spec = spec("names", tree.path(), limits());
        spec.name = bad.to_owned();
        assert!(docker().open(&spec).await.is_err(), "{bad}");
    }
    for bad in ["../../etc", "--privileged", "scratch:1;true", "http://127.0.0.1/x"] {
        let mut spec = spec("names", tree.path(), limits());
        spec.image = Some(bad.to_owned());
        assert!(docker().open(&spec).await.is_err(), "{bad}");
    }
}
