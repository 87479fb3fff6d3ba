//! `bzzz member`: who belongs to the swarm.

use std::io::Write;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use super::client::{Client, part};
use super::context::{Context, out, print_json};
use super::error::{Error, Result};
use crate::cli::text::{clean, table, time};
use crate::kernel::event::kinds::Role;
use crate::kernel::identity::AuthorId;
use crate::kernel::log::Hash;
use crate::node::clock;
use crate::web::members::{self, BranchView, MemberView};

/// Show, admit and revoke members of the swarm
#[derive(Debug, Subcommand)]
pub(super) enum MemberCommand {
    /// Show all members, present and past
    List,
    Admit(AdmitArgs),
    Revoke(RevokeArgs),
    Resolve(ResolveArgs),
}

/// Say which branch of a forked log stands; only an administrator's node can
///
/// A log forks when two programs append to it with one key. Every node then counts it up to the
/// fork only. Stop all programs but one, look at the branches with `bzzz doctor fork KEY`, and say
/// which one stands; the others are dropped everywhere.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  bzzz member resolve 3b6a27bc... --reason 'a restored copy ran'"
)]
pub(super) struct ResolveArgs {
    /// The key of the log's author, 64 hexadecimal digits
    key: String,
    /// The root of the branch, as `bzzz doctor fork KEY` shows it; the branch that this node
    /// holds, if nothing is said
    #[arg(long, value_name = "ROOT")]
    root: Option<String>,
    /// Why, for people
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
}

/// Admit a member; only an administrator's node can
///
/// The member's key is what its `bzzz init` or `bzzz key show` prints.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  bzzz member admit 3b6a27bc... --name oak")]
pub(super) struct AdmitArgs {
    /// The member's key, 64 hexadecimal digits
    key: String,
    /// A name for people
    #[arg(long, value_name = "NAME", default_value = "")]
    name: String,
    /// What it may do
    #[arg(long, value_enum, default_value_t = RoleName::Agent)]
    role: RoleName,
}

/// Revoke a member; only an administrator's node can
///
/// What the member said stays, up to a length of its log; what follows is void on every node. A key
/// that was revoked is never admitted again.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  bzzz member revoke 3b6a27bc... --reason 'the laptop was lost'")]
pub(super) struct RevokeArgs {
    /// The member's key, 64 hexadecimal digits
    key: String,
    /// How many of its events stand; as many as this node holds, if nothing is said
    #[arg(long, value_name = "N")]
    length: Option<u64>,
    /// Why, for people
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum RoleName {
    /// Takes tasks, works on them and reviews the plans of others
    Agent,
    /// Takes part in discussions, approves and answers for people, and takes no tasks
    Operator,
    /// Holds and passes on logs, and says nothing about tasks
    Replica,
}

impl From<RoleName> for Role {
    fn from(name: RoleName) -> Self {
        match name {
            RoleName::Agent => Self::Agent,
            RoleName::Operator => Self::Operator,
            RoleName::Replica => Self::Replica,
        }
    }
}

pub(super) fn run(context: &Context, command: &MemberCommand) -> Result<()> {
    match command {
        MemberCommand::List => list(context),
        MemberCommand::Admit(args) => admit(context, args),
        MemberCommand::Revoke(args) => revoke(context, args),
        MemberCommand::Resolve(args) => resolve(context, args),
    }
}

fn list(context: &Context) -> Result<()> {
    let config = context.config(&[])?;
    let members: Vec<MemberView> = match context.reader(&config)? {
        Some(engine) => members::list(&engine),
        None => part(Client::running(context)?.get(&["api", "v1", "members"], &[])?, "members")?,
    };
    if context.json {
        return print_json(&json!({ "members": members }));
    }
    let head = ["NAME", "ROLE", "SINCE", "EVENTS", "KEY"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(members.into_iter().map(|member| {
        let mut role = match (member.revoked_at, &member.successor, member.administrator) {
            (_, Some(successor), _) => format!("rotated to {}", short(successor)),
            (Some(length), None, _) => format!("revoked at {length}"),
            (None, None, true) => format!("{}, administrator", member.role),
            (None, None, false) => member.role,
        };
        if let Some(old) = &member.follows {
            role.push_str(&format!(", follows {}", short(old)));
        }
        if let Some(index) = member.forked_at {
            role.push_str(&format!(", FORKED at {index}"));
        }
        let name = clean(&member.name).into_owned();
        vec![name, role, time(member.since_ms), member.length.to_string(), member.key]
    }));
    let mut out = out();
    table(&mut out, &rows)?;
    Ok(out.flush()?)
}

/// The beginning of a key, for people.
fn short(key: &str) -> &str {
    key.get(..10).unwrap_or(key)
}

fn admit(context: &Context, args: &AdmitArgs) -> Result<()> {
    let key = key(&args.key)?;
    let role = Role::from(args.role);
    let role_name = members::role_name(&role);
    if let Some(client) = Client::find(&context.home)? {
        let body = json!({ "key": key, "role": role_name, "name": args.name });
        client.post(&["api", "v1", "members"], &body)?;
    } else {
        let config = context.config(&[])?;
        let (engine, _lock) = context.writer(&config)?;
        members::admit(&engine, key, role, &args.name, clock::wall_ms())?;
    }
    if context.json {
        return print_json(&json!({ "admitted": key, "role": role_name, "name": args.name }));
    }
    let name = if args.name.is_empty() { key.short() } else { clean(&args.name).into_owned() };
    let mut out = out();
    writeln!(out, "Admitted {name} as {role_name}.")?;
    Ok(out.flush()?)
}

fn revoke(context: &Context, args: &RevokeArgs) -> Result<()> {
    let key = key(&args.key)?;
    let length: u64 = if let Some(client) = Client::find(&context.home)? {
        let body = json!({ "length": args.length, "reason": args.reason });
        let text = key.to_string();
        part(client.post(&["api", "v1", "members", &text, "revoke"], &body)?, "length")?
    } else {
        let config = context.config(&[])?;
        let (engine, _lock) = context.writer(&config)?;
        members::revoke(&engine, key, args.length, &args.reason, clock::wall_ms())?
    };
    if context.json {
        return print_json(&json!({ "revoked": key, "length": length }));
    }
    let mut out = out();
    writeln!(out, "Revoked {}: the first {length} events of its log stand.", key.short())?;
    Ok(out.flush()?)
}

fn resolve(context: &Context, args: &ResolveArgs) -> Result<()> {
    let key = key(&args.key)?;
    let root: Option<Hash> =
        args.root.as_deref().map(str::parse::<Hash>).transpose().map_err(|_| {
            Error::usage("a root has 64 hexadecimal digits")
                .hint("`bzzz doctor fork KEY` shows the roots of the branches")
        })?;
    let branch: BranchView = if let Some(client) = Client::find(&context.home)? {
        let body = json!({ "root": root, "reason": args.reason });
        let text = key.to_string();
        part(client.post(&["api", "v1", "members", &text, "resolve"], &body)?, "branch")?
    } else {
        let config = context.config(&[])?;
        let (engine, _lock) = context.writer(&config)?;
        members::resolve(&engine, key, root, &args.reason, clock::wall_ms())?
    };
    if context.json {
        return print_json(&json!({ "resolved": key, "branch": branch }));
    }
    let mut out = out();
    let (root, index) = (branch.root.get(..10).unwrap_or_default(), branch.index);
    writeln!(out, "The branch {root} of {} stands from index {index} on.", key.short())?;
    Ok(out.flush()?)
}

pub(super) fn key(text: &str) -> Result<AuthorId> {
    text.parse().map_err(|_| {
        Error::usage(format!("{text:?} is no key of a node, which has 64 hexadecimal digits"))
            .hint("a node's key is printed by its `bzzz init` and `bzzz key show`")
    })
}
