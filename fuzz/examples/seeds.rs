//! Writes the seeds of all targets, from real values: one folder per target:
//! `cargo run --release --example seeds DIRECTORY`.

use std::fs;
use std::io;
use std::path::PathBuf;

use bzzz::kernel::event::kinds::{
    AgentStarted, ClaimIntended, ClaimMoved, ClaimSeen, ClaimWon, CommandFinished, CommandIntended,
    CommandStatus, ForkResolved, KINDS, MemberAdmitted, MemberRevoked, ModelAnswered, ModelAsked,
    Payload, PlanAdopted, PlanProposed, PlanReviewed, PlanText, PublishIntended, Published,
    Purpose, RepositorySeen, Role, SandboxOpened, TaskFinished, TaskSeen, Verdict, WorkDone,
};
use bzzz::kernel::event::{Claim, ClaimStatus, EventId, SignedClaim, TaskId};
use bzzz::kernel::identity::AuthorId;
use bzzz::kernel::log::{Hash, Record, TreeReader, prove_consistency, prove_inclusion};
use bzzz::kernel::sync::{Frontier, Held, Request, Response};
use bzzz_fuzz::script::fork_proof;
use bzzz_fuzz::script::{Script, author_ref, event_ref};
use bzzz_fuzz::{SWARM, bundle, key, log, signed_event, store, tlog_proof};

fn main() -> io::Result<()> {
    let Some(directory) = std::env::args_os().nth(1) else {
        eprintln!("usage: seeds DIRECTORY");
        std::process::exit(2);
    };
    let to = Seeds(directory.into());
    to.payloads()?;
    to.log()?;
    to.messages()?;
    to.others()?;
    to.scripts()
}

struct Seeds(PathBuf);

impl Seeds {
    fn write(&self, target: &str, name: &str, bytes: &[u8]) -> io::Result<()> {
        let folder = self.0.join(target);
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(format!("seed-{name}")), bytes)
    }

    /// For every kind its shortest payload of zeros: empty texts and lists, first variants.
    fn payloads(&self) -> io::Result<()> {
        for (selector, (kind, name)) in (0u8..).zip(KINDS) {
            let zeros = (0..1024).map(|length| vec![0; length]);
            let mut good = zeros.filter(|bytes| Payload::from_bytes(*kind, bytes).is_ok());
            let body = good.next().unwrap_or_else(|| panic!("{name} is not made of zeros"));
            self.write("payload", name, &[&[selector], &body[..]].concat())?;
            let mut script = Script::default();
            admit(&mut script);
            script.raw(1, 129, 1, 17, *kind, &body);
            self.write("fold", name, &script.0)?;
            self.write("audit", name, &[&[0; 3], &script.0[..]].concat())?;
        }
        Ok(())
    }

    fn log(&self) -> io::Result<()> {
        let range = log();
        for (index, record) in range.records.iter().enumerate() {
            self.write("record", &index.to_string(), record)?;
        }
        let record = Record::new(b"head", b"body").expect("it is small");
        self.write("record", "plain", &record)?;
        let event = [&[3], &signed_event().to_bytes()[..]].concat();
        self.write("proof", "event", &event)?;
        self.write("range", "whole", &range.to_bytes())?;
        let checkpoint = tlog_proof().checkpoint.to_note().to_text();
        self.write("tlog", "checkpoint", &[&[0], checkpoint.as_bytes()].concat())?;
        let proof = tlog_proof().to_text();
        self.write("tlog", "proof", &[&[1], proof.as_bytes()].concat())?;
        self.write("tlog", "base64", b"\x02Zm9vYmE=")?;
        let (store, tip) = store();
        let tree = TreeReader::new(store, tip);
        let fork = [&[4], &fork_proof(0, 3).to_bytes()[..]].concat();
        self.write("proof", "fork", &fork)?;
        for length in 1..=tip.length() {
            let proof = prove_inclusion(&tree, length - 1, tip.length()).expect("it is there");
            let bytes = [&[1], &proof.to_bytes()[..]].concat();
            self.write("proof", &format!("inclusion-{length}"), &bytes)?;
            let proof = prove_consistency(&tree, length - 1, tip.length()).expect("it is there");
            let bytes = [&[2], &proof.to_bytes()[..]].concat();
            self.write("proof", &format!("consistency-{length}"), &bytes)?;
        }
        for (index, head) in range.heads.iter().enumerate() {
            let bytes = [&[0], &head.to_bytes()[..]].concat();
            self.write("proof", &format!("head-{index}"), &bytes)?;
        }
        Ok(())
    }

    fn messages(&self) -> io::Result<()> {
        let held = |n| Held { author: AuthorId([n; 32]), length: n.into(), root: Hash([n; 32]) };
        let logs = (1..=3).map(held).collect();
        let frontier = Frontier { swarm: SWARM, logs };
        let fetch = Request::Fetch { author: AuthorId([7; 32]), from: 3, max_bytes: 4 };
        let [branch, _] = fork_proof(0, 3).branches;
        let messages = [
            ("asked", Request::Frontier(frontier.clone()).to_bytes()),
            ("fetch", fetch.to_bytes()),
            ("prove", Request::Prove { author: AuthorId([7; 32]), index: 9 }.to_bytes()),
            ("proof", Response::Proof(Box::new(branch)).to_bytes()),
            ("told", Response::Frontier(frontier).to_bytes()),
            ("range", Response::Range(log().clone()).to_bytes()),
            ("nothing", Response::Nothing { length: 258 }.to_bytes()),
            ("busy", vec![1, 132, 6]),
        ];
        for (name, bytes) in messages {
            self.write("message", name, &bytes)?;
        }
        Ok(())
    }

    fn others(&self) -> io::Result<()> {
        let claim = Claim {
            format: 1,
            swarm: SWARM,
            author: key(1).author(),
            process: 7,
            task: TaskId::of("r", 1),
            epoch: 1,
            renewal: 0,
            lease_ms: 60_000,
            event: EventId([5; 32]),
            status: ClaimStatus::Active,
        };
        self.write("claim", "active", SignedClaim::sign(&key(1), claim).as_bytes())?;
        self.write("bundle", "swarm", bundle())?;
        let answers = [
            ("plan", r#"{"summary":"s","steps":["a","b"],"files":["c"],"tests":[],"risks":null}"#),
            ("review", r#"{"verdict":"object","blocking":true,"reason":"r"}"#),
            (
                "step",
                "```json\n{\"reasoning\":\"r\",\"action\":\"command\",\"command\":\"ls\"}\n```",
            ),
            ("done", r#"{"reasoning":"r","action":"done","summary":"\u00fc"}"#),
            ("help", r#"{"reasoning":"r","action":"help","question":"q"}"#),
        ];
        for (name, text) in answers {
            self.write("answer", name, text.as_bytes())?;
        }
        Ok(())
    }

    fn scripts(&self) -> io::Result<()> {
        for (name, by, of, index, resolver) in [
            ("of-a-member", 2, 1, 2, 0),
            ("of-the-founder", 1, 0, 3, 0),
            ("of-the-founder-early", 2, 0, 1, 0),
            ("resolved-by-a-member", 0, 1, 0, 2),
        ] {
            let script = forked(by, of, index, resolver);
            self.write("fold", name, &script)?;
            self.write("audit", name, &[&[0; 3], &script[..]].concat())?;
        }
        let scripts = [
            ("work", work()),
            ("dispute", dispute()),
            ("revoked", revoked()),
            ("others", others()),
        ];
        for (name, script) in scripts {
            self.write("fold", name, &script)?;
            self.write("audit", name, &[&[0; 3], &script[..]].concat())?;
            self.write("audit", &format!("{name}-changed"), &[&[200, 1, 1], &script[..]].concat())?;
        }
        for n in 0..16u8 {
            // All members connect, then each operation in turn, differently for each seed.
            let connect = (0..6).flat_map(|peer| [1, 0, peer]);
            let bytes = (0..240u8).map(|at| at.wrapping_mul(2 * n + 1).wrapping_add(n));
            let bytes: Vec<u8> = [n].into_iter().chain(connect).chain(bytes).collect();
            self.write("sync", &n.to_string(), &bytes)?;
        }
        Ok(())
    }
}

fn event(back: u8) -> EventId {
    EventId(event_ref(back))
}

fn author(n: u8) -> AuthorId {
    AuthorId(author_ref(n))
}

fn commit(digit: &str) -> bzzz::kernel::event::CommitId {
    digit.repeat(40).parse().expect("40 digits")
}

fn admit(script: &mut Script) {
    for n in [1, 2] {
        let admitted = MemberAdmitted { member: author(n), role: Role::Agent, name: "m".into() };
        script.say(0, 0, admitted);
    }
}

fn seen() -> TaskSeen {
    TaskSeen {
        repository: "r".into(),
        issue: 1,
        title: "t".into(),
        body: "b".into(),
        labels: vec!["bzzz-task".into()],
        depends_on: Vec::new(),
        open: true,
    }
}

fn plan(revision: u32) -> PlanProposed {
    let list = || vec!["a".to_owned()];
    let plan = PlanText {
        summary: "s".into(),
        steps: list(),
        files: list(),
        tests: list(),
        risks: list(),
    };
    PlanProposed { epoch: 1, revision, plan, deadline_ms: 1_800_000_002_000 }
}

fn win(script: &mut Script, who: u8, epoch: u64, digit: &str) {
    let previous = (epoch > 1).then(|| commit("b"));
    script.say(who, 1, ClaimIntended { epoch, lease_ms: 1000, process: 1, previous });
    script.say(who, 1, ClaimWon { intent: event(0), epoch, commit: commit(digit) });
}

/// One task from its issue to its end.
fn work() -> Vec<u8> {
    let mut script = Script::default();
    admit(&mut script);
    script.say(1, 1, seen());
    win(&mut script, 1, 1, "b");
    script.say(1, 1, plan(0));
    let (verdict, reason) = (Verdict::Support, "ok".into());
    script.say(2, 1, PlanReviewed { epoch: 1, plan: event(0), verdict, reason });
    script.say(1, 1, PlanAdopted { epoch: 1, plan: event(1), considered: vec![event(0)] });
    let (sandbox, base) = ("docker".into(), commit("a"));
    script.say(1, 1, SandboxOpened { epoch: 1, process: 1, sandbox, base });
    let (purpose, prompt, last) = (Purpose::Step, Hash([1; 32]), "next?".into());
    script.say(1, 1, ModelAsked { epoch: 1, purpose, turn: 0, prompt, last });
    let text = r#"{"reasoning":"r","action":"command","command":"ls"}"#.into();
    let (model, tokens_in, tokens_out) = ("m".into(), Some(7), None);
    let ask = event(0);
    script.say(1, 1, ModelAnswered { ask, epoch: 1, purpose, model, text, tokens_in, tokens_out });
    let (reasoning, command) = ("r".into(), "ls".into());
    script.say(1, 1, CommandIntended { epoch: 1, step: 0, reasoning, command, seconds: 9 });
    script.say(
        1,
        1,
        CommandFinished {
            epoch: 1,
            command: event(0),
            status: CommandStatus::Exited(0),
            duration_ms: 5,
            output_total: 0,
            output_kept: 0,
            output_hash: Hash([0; 32]),
        },
    );
    script.say(1, 1, WorkDone { epoch: 1, summary: "s".into() });
    let (branch, changed): (String, _) = ("bzzz/1".into(), (1, 2, 3));
    let intended =
        PublishIntended { epoch: 1, branch: branch.clone(), commit: commit("c"), changed };
    script.say(1, 1, intended);
    let published = Published { epoch: 1, branch, commit: commit("c"), claim: commit("d") };
    script.say(1, 1, published);
    script.say(1, 1, TaskFinished { epoch: 1, outcome: "published".into() });
    script.0
}

/// Two say that they won; one of them revises its plan after an objection.
fn dispute() -> Vec<u8> {
    let mut script = Script::default();
    admit(&mut script);
    script.say(2, 1, seen());
    win(&mut script, 1, 1, "b");
    win(&mut script, 2, 1, "c");
    script.say(
        0,
        1,
        ClaimSeen { holder: author(1), epoch: 1, commit: commit("b"), status: ClaimStatus::Active },
    );
    script.say(1, 1, plan(0));
    let (verdict, reason) = (Verdict::Object, "no".into());
    script.say(2, 1, PlanReviewed { epoch: 1, plan: event(0), verdict, reason });
    script.say(1, 1, plan(1));
    let (commit, status, reason) = (commit("d"), ClaimStatus::Released, String::new());
    script.say(1, 1, ClaimMoved { epoch: 1, renewal: 1, commit, status, reason });
    win(&mut script, 2, 2, "e");
    script.0
}

/// A member is revoked, below the length of its log.
fn revoked() -> Vec<u8> {
    let mut script = Script::default();
    admit(&mut script);
    script.say(1, 1, seen());
    win(&mut script, 1, 1, "b");
    script.say(2, 1, seen());
    script.say(0, 0, MemberRevoked { member: author(1), length: 2, reason: "left".into() });
    script.say(1, 1, plan(0));
    script.0
}

/// A log forks, somebody proves it, and somebody names the branch that stands.
fn forked(by: u8, of: u8, index: u8, resolver: u8) -> Vec<u8> {
    let mut script = Script::default();
    admit(&mut script);
    script.say(1, 1, seen());
    win(&mut script, 1, 1, "b");
    script.raw(by, 129, 0, 0b11_0000, 6, &[of, index]);
    script.say(1, 1, plan(0));
    let (root, reason) = (Hash([0; 32]), "this".into());
    let length = u64::from(index) + 1;
    script.say(resolver, 0, ForkResolved { author: author(of), length, root, reason });
    script.say(1, 1, plan(1));
    script.0
}

/// What is about no task, and what comes from nobody that belongs to the swarm.
fn others() -> Vec<u8> {
    let mut script = Script::default();
    script.say(1, 1, seen());
    admit(&mut script);
    let (url, branch) = ("file:///r".into(), "main".into());
    script.say(1, 0, RepositorySeen { repository: "r".into(), url, branch });
    let (name, version) = ("n".to_owned(), "0".to_owned());
    let capabilities = Vec::new();
    script.say(2, 0, AgentStarted { name, version, process: 1, works: true, capabilities });
    script.say(3, 1, plan(0));
    script.0
}
