//! `bzzz init`: founds a swarm or joins one.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::context::{Context, environment, out, print_json};
use super::error::{Error, Result};
use super::passphrase;
use crate::kernel::identity::SwarmId;
use crate::node::config::{Config, Origin, Repository, literal};

/// Make this machine's directory a node's home: found a swarm, or join one
///
/// Makes a key, writes bzzz.toml, and prints what to do next. Nothing that is there is overwritten.
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub(super) struct InitArgs {
    /// The node's name, for people
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// The new swarm's name, for people
    #[arg(long, value_name = "NAME", default_value = "swarm", conflicts_with = "join")]
    swarm_name: String,
    /// Join the swarm of this id, as its founder's `bzzz init` printed it
    #[arg(long, value_name = "SWARM_ID")]
    join: Option<String>,
    /// Set a key of the configuration; lists are separated by commas. Can be given again
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = super::key_value)]
    set: Vec<(String, String)>,
    /// A repository whose issues are tasks: name=NAME,url=URL,board=DIR, or
    /// github=OWNER/NAME,token_file=FILE in place of the board; any other key of a repository
    /// too. Can be given again
    #[arg(long, value_name = "FIELDS", value_parser = repository)]
    repository: Vec<Repository>,
    /// Protect the key file by a passphrase, which the terminal is asked for
    #[arg(long)]
    passphrase: bool,
    /// The file that holds that passphrase
    #[arg(long, value_name = "FILE")]
    new_passphrase_file: Option<PathBuf>,
}

const AFTER: &str = "\
Examples:
  bzzz init --name maple --swarm-name orchard
  bzzz init --name oak --join 6f2c... --set net.peers=/ip4/192.0.2.7/tcp/7447
  bzzz init --repository name=sample,url=/srv/git/sample.git,board=/srv/boards/sample \\
      --set reasoner.model=qwen3:8b";

pub(super) fn run(context: &Context, args: &InitArgs) -> Result<()> {
    let join = args.join.as_deref().map(swarm_id).transpose()?;
    let config = rendered(context, &args.set, args.name.as_deref(), &args.repository)?;
    let passphrase = match (args.passphrase, args.new_passphrase_file.as_deref()) {
        (false, None) => None,
        (_, file) => Some(passphrase::new(file, "the key file")?),
    };
    let home = &context.home;
    let (key, swarm) = match join {
        Some(swarm) => (home.join_with(swarm, &config, passphrase)?, swarm),
        None => home.found_with(&args.swarm_name, &config, &environment(), passphrase)?,
    };
    if context.json {
        let founded = join.is_none();
        return print_json(&json!({
            "home": home.dir(), "key": key, "swarm": swarm, "founded": founded, "name": args.name,
        }));
    }
    let mut out = out();
    match join {
        None => writeln!(out, "Founded the swarm {}.", args.swarm_name)?,
        Some(_) => writeln!(out, "Ready to join the swarm, once an administrator admits the key.")?,
    }
    writeln!(out)?;
    writeln!(out, "  swarm  {swarm}")?;
    writeln!(out, "  key    {key}")?;
    writeln!(out, "  home   {}", home.dir().display())?;
    writeln!(out)?;
    writeln!(out, "Next:")?;
    let name = args.name.as_ref().map_or(String::new(), |name| format!(" --name {name}"));
    match join {
        None => {
            writeln!(out, "  {}", context.command("doctor"))?;
            writeln!(out, "  {}", context.command("up"))?;
            writeln!(out, "On each machine that is to join:")?;
            writeln!(out, "  bzzz init --join {swarm}")?;
            writeln!(out, "and here, with the key that this prints:")?;
            writeln!(out, "  {}", context.command("member admit KEY"))?;
        }
        Some(_) => {
            writeln!(out, "  bzzz member admit {key}{name}")?;
            writeln!(out, "      on an administrator's machine")?;
            writeln!(out, "  {}", context.command("doctor"))?;
            writeln!(out, "  {}", context.command("up"))?;
        }
    }
    Ok(out.flush()?)
}

fn swarm_id(text: &str) -> Result<SwarmId> {
    text.parse().map_err(|_| {
        Error::usage(format!("{text:?} is no swarm's id, which has 64 hexadecimal digits"))
            .hint("a swarm's id is printed by `bzzz init` and `bzzz status`")
    })
}

/// The text of a new home's configuration.
pub(super) fn rendered(
    context: &Context,
    set: &[(String, String)],
    name: Option<&str>,
    repositories: &[Repository],
) -> Result<String> {
    let mut values = literals(context, set)?;
    values.extend(name.map(|name| ("node.name".to_owned(), literal(name))));
    Ok(Config::render(&values, repositories)?)
}

/// The values of flags as TOML literals, checked against the table of keys.
fn literals(context: &Context, set: &[(String, String)]) -> Result<Vec<(String, String)>> {
    let path = context.home.config_file();
    let loaded = Config::parse("", &path, &BTreeMap::new(), set)?;
    let set = loaded.settings.into_iter().filter(|shown| shown.origin == Some(Origin::Flag));
    Ok(set.filter_map(|shown| Some((shown.key, shown.value?.to_string()))).collect())
}

/// Reads `name=...,url=...`. What is a path is meant from the present directory on.
fn repository(text: &str) -> std::result::Result<Repository, String> {
    let mut fields = BTreeMap::new();
    for field in text.split(',') {
        let (key, value) = field.split_once('=').ok_or("each field is KEY=VALUE")?;
        if !REPOSITORY_KEYS.contains(&key) {
            return Err(format!("{key:?} is none of {}", REPOSITORY_KEYS.join(", ")));
        }
        if fields.insert(key, value).is_some() {
            return Err(format!("{key} stands twice"));
        }
    }
    let need = |key: &str| fields.get(key).copied().ok_or(format!("{key}=... is missing"));
    let absolute = |path: &str| {
        std::path::absolute(Path::new(path)).map_err(|error| format!("{path}: {error}"))
    };
    let url = need("url")?;
    // What has a colon before its first slash is an address, as git reads it.
    let address = url.split('/').next().is_some_and(|first| first.contains(':'));
    let url = match address {
        true => url.to_owned(),
        false => absolute(url)?.into_os_string().into_string().map_err(|_| "url is not UTF-8")?,
    };
    let path = |key: &str| fields.get(key).map(|path| absolute(path)).transpose();
    let text = |key: &str| fields.get(key).map(|text| (*text).to_owned());
    let number = |key: &str| {
        let number = fields.get(key).map(|number| number.parse::<u64>());
        number.transpose().map_err(|_| format!("{key} is no number"))
    };
    let (board, github) = (path("board")?, text("github"));
    if board.is_none() && github.is_none() {
        return Err("board=... or github=... is missing".to_owned());
    }
    Ok(Repository {
        branch: text("branch").unwrap_or_else(|| "main".to_owned()),
        board,
        github,
        github_url: text("github_url"),
        github_draft: fields.get("github_draft").is_some_and(|draft| *draft == "true"),
        github_app: number("github_app")?,
        github_key_file: path("github_key_file")?,
        github_installation: number("github_installation")?,
        token_file: path("token_file")?,
        ..Repository::at(need("name")?, &url)
    })
}

const REPOSITORY_KEYS: [&str; 11] = [
    "name",
    "url",
    "board",
    "branch",
    "github",
    "github_url",
    "github_draft",
    "github_app",
    "github_key_file",
    "github_installation",
    "token_file",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_is_read_from_its_fields() {
        let read = repository("name=s,url=https://x.example/y.git,board=/b,branch=dev").unwrap();
        assert_eq!((read.name.as_str(), read.branch.as_str()), ("s", "dev"));
        assert_eq!(read.url, "https://x.example/y.git");
        assert_eq!(read.board.as_deref(), Some(Path::new("/b")));
        let local = repository("name=s,url=git/s.git,board=b").unwrap();
        assert!(Path::new(&local.url).is_absolute() && local.board.unwrap().is_absolute());
        let hub =
            repository("name=s,url=https://x.example/o/s.git,github=o/s,github_app=7").unwrap();
        assert_eq!(
            (hub.github.as_deref(), hub.github_app, hub.board),
            (Some("o/s"), Some(7), None)
        );
        assert_eq!(repository("name=s,url=git@x:y.git,board=b").unwrap().url, "git@x:y.git");
        let number = "name=s,url=u,github=o/s,github_app=x";
        for bad in ["", "name", "name=s,url=u", "name=s,name=t", "colour=red", number] {
            assert!(repository(bad).is_err(), "{bad}");
        }
    }
}
