//! What the events of discussions, help, approvals and sessions say, and those about the swarm.

use super::events::Told;
use crate::cli::text::{Names, count, time};
use crate::kernel::event::kinds::{
    Act, ApprovalRequested, CoordinationOpened, DependencyDetected, HandedOver, HelpForm, Payload,
    Role, Side, Source, Subject, WitnessedHead,
};
use crate::kernel::log::ForkProof;

pub(super) fn messages(payload: &Payload, names: &Names) -> Option<Told> {
    Some(match payload {
        Payload::Withdrawn(p) => {
            Told::line(format!("takes back what it said in {}", p.message.short()))
                .with("because: ", &p.reason)
        }
        Payload::MessageSaid(p) => {
            let parent = p.parent.map_or(String::new(), |id| format!(", to {}", id.short()));
            let until = match p.deadline_ms {
                0 => String::new(),
                ms => format!(", and waits until {}", time(ms)),
            };
            Told::line(format!("{}{parent}{until}", act(p.act))).with("> ", &p.text)
        }
        Payload::DiscussionBounded(p) => Told::line(format!(
            "bounds the discussion: {}, {} of each, {} and {} bytes in all, {} deep, {} ms",
            count(u64::from(p.participants), "participant"),
            count(u64::from(p.per_author), "message"),
            count(u64::from(p.messages), "message"),
            p.bytes,
            p.depth,
            p.lifetime_ms
        )),
        Payload::HelpRequested(p) => {
            Told::line(format!("asks for help until {}", time(p.deadline_ms)))
                .with("? ", &p.missing)
                .with_all("tried: ", &p.tried)
        }
        Payload::HelpOffered(p) => {
            let head = match p.help {
                HelpForm::None => "says that it cannot help".to_owned(),
                HelpForm::Advice => format!("offers advice until {}", time(p.until_ms)),
                HelpForm::TakeOver => format!("offers to take over until {}", time(p.until_ms)),
            };
            let told = Told::line(head).with("> ", &p.text);
            match p.capabilities.as_slice() {
                [] => told,
                can => told.with("can do: ", &can.join(", ")),
            }
        }
        Payload::HelpAccepted(p) => Told::line(format!("takes the offer {}", p.offer.short())),
        Payload::HandedOver(p) => handed(p, names),
        Payload::ApprovalRequested(p) => approval(p),
        Payload::ApprovalGiven(p) => {
            let head = if p.approved { "approves" } else { "does not approve" };
            Told::line(format!("{head} what has the hash {}", p.hash.short()))
                .with("because: ", &p.reason)
        }
        _ => return None,
    })
}

fn act(act: Act) -> &'static str {
    match act {
        Act::Comment => "says something",
        Act::Question => "asks something",
        Act::Answer => "answers",
    }
}

fn handed(p: &HandedOver, names: &Names) -> Told {
    let (to, claim) = (names.name(&p.to), p.claim.short());
    let told = Told::line(format!("hands the task over to {to} with claim {claim}"));
    match &p.base {
        Some((name, commit)) => {
            told.with("", &format!("work so far: {name} at {}", commit.short()))
        }
        None => told,
    }
}

fn approval(p: &ApprovalRequested) -> Told {
    let subject = match p.subject {
        Subject::Plan => "a plan",
        Subject::Command => "a command",
        Subject::Change => "a change",
    };
    let (hash, until) = (p.hash.short(), time(p.deadline_ms));
    let head = format!("asks people to approve {subject} with the hash {hash} until {until}");
    Told::line(head).with("rule: ", &p.rule).with("> ", &p.text)
}

pub(super) fn coordination(payload: &Payload) -> Option<Told> {
    Some(match payload {
        Payload::DependencyDetected(p) => {
            let DependencyDetected { repository, issue, source, confidence, evidence } = p;
            let how = match source {
                Source::Stated => "as is stated",
                Source::Overlap => "by what both touch",
            };
            let other = format!("{repository}#{issue}");
            let head = format!("finds a dependency on {other}, {how}, {confidence} percent sure");
            Told::line(head).with_all("evidence: ", evidence)
        }
        Payload::CoordinationOpened(p) => opened(p),
        Payload::CoordinationJoined(p) => {
            let head = match p.agrees {
                true => "joins the session and agrees",
                false => "joins the session and does not agree",
            };
            Told::line(head).with("because: ", &p.reason)
        }
        Payload::CoordinationSaid(p) => {
            let head = format!("{} in the session, for side {}", act(p.act), p.side);
            Told::line(head).with("> ", &p.text)
        }
        Payload::CoordinationResolved(p) => {
            let considered = count(p.considered.len() as u64, "answer");
            let head = format!("settles the session: side {} goes first", p.first);
            Told::line(format!("{head}, with {considered} considered"))
        }
        Payload::CoordinationEscalated(p) => {
            Told::line("gives the session to people").with("because: ", &p.reason)
        }
        _ => return None,
    })
}

fn opened(p: &CoordinationOpened) -> Told {
    let name = |side: &Side| format!("{}#{} (epoch {})", side.repository, side.issue, side.epoch);
    let sides: Vec<String> = p.sides.iter().map(name).collect();
    let until = time(p.deadline_ms);
    let head = format!("opens a session about {}, until {until}", sides.join(" and "));
    Told::line(head)
        .with("", &format!("proposal: side {} goes first", p.first))
        .with("because: ", &p.reason)
        .with_all("evidence: ", &p.evidence)
}

/// What is said of the swarm, its members and their logs.
pub(super) fn swarm(payload: &Payload, names: &Names) -> Option<Told> {
    Some(match payload {
        Payload::SwarmFounded(p) => {
            let administrators = count(p.administrators.len() as u64, "administrator");
            Told::line(format!("founds the swarm {}, with {administrators}", p.name))
        }
        Payload::MemberAdmitted(p) => {
            let role = match p.role {
                Role::Replica => "replica",
                Role::Agent => "agent",
                Role::Operator => "operator",
            };
            Told::line(format!("admits {} as {role}: {}", p.name, p.member.short()))
        }
        Payload::MemberRevoked(p) => {
            let events = count(p.length, "event");
            Told::line(format!("revokes {}, of whom {events} stand", names.name(&p.member)))
                .with("because: ", &p.reason)
        }
        Payload::Checkpoint(p) => {
            let (logs, digest) = (count(p.frontier.len() as u64, "log"), p.digest.short());
            let version = p.fold_version;
            Told::line(format!("has the state {digest} of {logs}, fold version {version}"))
        }
        Payload::HeadsWitnessed(p) => {
            let head =
                |head: &WitnessedHead| format!("{} at {}", names.name(&head.author), head.length);
            let heads: Vec<String> = p.heads.iter().map(head).collect();
            Told::line(format!("holds {}", count(heads.len() as u64, "log"))).with_all("", &heads)
        }
        Payload::ForkProven(p) => match ForkProof::from_bytes(&p.proof) {
            Ok(proof) => {
                let (who, index) = (names.name(&proof.author()), proof.index());
                Told::line(format!("shows that the log of {who} forks at index {index}"))
            }
            Err(_) => Told::line("gives a fork proof that is none"),
        },
        Payload::ForkResolved(p) => {
            let (who, root) = (names.name(&p.author), p.root.short());
            Told::line(format!("says that the branch {root} of the log of {who} stands"))
                .with("because: ", &p.reason)
        }
        Payload::PayloadErased(p) => {
            let whose = names.name(&p.author);
            Told::line(format!("erases what {whose} said at index {}", p.seq))
                .with("because: ", &p.reason)
        }
        Payload::KeyRotated(p) => {
            Told::line(format!("goes on under the key {}", p.successor.short()))
        }
        Payload::AgentStarted(p) => {
            let works = if p.works { "takes tasks" } else { "takes no tasks" };
            let told = Told::line(format!("starts as {}, version {}, {works}", p.name, p.version));
            match p.capabilities.as_slice() {
                [] => told,
                can => told.with("can do: ", &can.join(", ")),
            }
        }
        Payload::RepositorySeen(p) => {
            Told::line(format!("works on {}, branch {}", p.repository, p.branch))
        }
        Payload::RepositoryConsent(p) => {
            let allows = if p.allowed { "allows" } else { "refuses" };
            Told::line(format!("reads that {} {allows} agents: {}", p.repository, p.source))
                .with("because: ", &p.reason)
        }
        _ => return None,
    })
}
