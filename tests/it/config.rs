//! The configuration file: what the documented example says, what overrides what, and that a report
//! names everything that is wrong, with its line.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use bzzz::node::config::{
    Config, ConfigError, FILE_NAME, Loaded, MAX_FILE, MAX_ITEMS, MAX_PROBLEMS, MAX_REPOSITORIES,
    Origin, Place, Problem, ReasonerKind, Repository, SandboxKind, StoreKind, Value, literal,
};
use proptest::prelude::*;

fn parse(text: &str) -> Result<Loaded, ConfigError> {
    Config::parse(text, Path::new("/etc/bzzz/bzzz.toml"), &BTreeMap::new(), &[])
}

fn with(text: &str, env: &[(&str, &str)], flags: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
    let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    let flags: Vec<_> = flags.iter().map(own).collect();
    Config::parse(text, Path::new("/etc/bzzz/bzzz.toml"), &env.iter().map(own).collect(), &flags)
}

/// The report as lines, without the path of the file.
fn report(text: &str) -> Vec<String> {
    lines(&parse(text).expect_err("the file is wrong"))
}

fn lines(error: &ConfigError) -> Vec<String> {
    let text = error.to_string();
    text.lines().map(|line| line.replace("/etc/bzzz/bzzz.toml:", "")).collect()
}

/// Says that a file's report is exactly these lines.
#[track_caller]
fn assert_report(text: &str, expected: &[&str]) {
    assert_eq!(report(text), expected, "{text}");
}

#[test]
fn the_committed_example_is_the_generated_one() {
    let committed = include_str!("../../docs/bzzz.toml");
    let generated = Config::example();
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join(FILE_NAME);
    fs::write(&place, &generated).unwrap();
    assert!(
        committed == generated,
        "docs/bzzz.toml is not what the table of keys says; take {}",
        place.display()
    );
    assert!(generated.lines().all(|line| line.chars().count() <= 100));
}

/// Keys of a repository that exclude others of them: it is on a board or on GitHub, and the node
/// enters with a token or as an App.
const OTHERWISE: [&str; 2] = ["board", "token_file"];

/// The example as people use it: every line that is commented out as a key, in effect.
fn uncommented() -> String {
    let example = Config::example();
    let otherwise =
        |line: &&str| OTHERWISE.iter().any(|key| line.starts_with(&format!("#{key} =")));
    let lines =
        example.lines().filter(|line| !otherwise(line)).map(|line| match line.strip_prefix('#') {
            Some(key) if !key.is_empty() && !key.starts_with(' ') => key,
            _ => line,
        });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_example_and_an_empty_file_mean_the_defaults() {
    let empty = parse("").unwrap();
    assert_eq!(parse(&Config::example()).unwrap().config, empty.config);
    assert!(empty.settings.iter().all(|shown| match &shown.value {
        Some(_) => shown.origin == Some(Origin::Default),
        None => shown.origin.is_none(),
    }));
    let config = empty.config;
    assert_eq!(config.home, Path::new("/etc/bzzz"));
    assert_eq!(config.store.path, Path::new("/etc/bzzz/store"));
    assert_eq!(config.store.kind, StoreKind::Rocksdb);
    assert_eq!(config.sandbox.docker_socket, Path::new("/var/run/docker.sock"));
    assert_eq!(config.agent.labels, ["bzzz-task"]);
    assert_eq!(config.net.listen.len(), 2);
    assert!(config.api.listen.ip().is_loopback());
    assert_eq!(config.reasoner.url.as_deref(), Some("http://127.0.0.1:11434"));
    assert!(config.repositories.is_empty());
}

#[test]
fn every_key_of_the_example_can_be_taken_as_it_stands() {
    let all = parse(&uncommented()).unwrap();
    let defaults = parse("").unwrap();
    assert!(all.settings.iter().all(|shown| {
        let otherwise = OTHERWISE.iter().any(|key| shown.key.ends_with(&format!("].{key}")));
        otherwise != matches!(shown.origin, Some(Origin::File { .. }))
    }));
    for shown in &defaults.settings {
        let same = all.settings.iter().find(|other| other.key == shown.key).unwrap();
        if shown.value.is_some() {
            assert_eq!(same.value, shown.value, "{}", shown.key);
        }
    }
    assert_eq!(all.config.repositories.len(), 1);
    assert_eq!(all.config.repositories[0].branch, "main");
}

/// The keys of the sections, their line in the example that tells the range, and their variable.
fn documented() -> Vec<(String, String, String)> {
    let text = Config::example();
    let mut section = String::new();
    let mut last = "";
    let mut out = vec![];
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']').to_owned();
        } else if line.starts_with("#[[") {
            break;
        } else if let Some((key, _)) = line.split_once(" = ")
            && line.starts_with('#')
            && !line.starts_with("# ")
        {
            let variable = last.rsplit(' ').next().expect("a split has a part");
            let key = format!("{section}.{}", &key[1..]);
            out.push((key, last.to_owned(), variable.to_owned()));
        }
        last = line;
    }
    assert!(out.len() > 40, "the example is read as it is written");
    out
}

#[test]
fn both_ends_of_every_range_are_taken_and_what_lies_beyond_is_not() {
    let mut ranges = 0;
    for (key, words, variable) in documented() {
        let Some((_, range)) = words.split_once("A whole number from ") else {
            continue;
        };
        let (min, rest) = range.split_once(" to ").unwrap();
        let max = rest.split(['.', ',']).next().unwrap();
        for good in [min, max] {
            let loaded = with("", &[(&variable, good)], &[]).unwrap();
            let origin = Origin::Environment { variable: variable.clone() };
            assert_eq!(loaded.origin(&key), Some(&origin), "{key}");
        }
        let beyond = max.parse::<u64>().unwrap() + 1;
        let mut bad = vec![beyond.to_string(), "-1".to_owned(), "ten".to_owned(), String::new()];
        bad.extend(min.parse::<u64>().unwrap().checked_sub(1).map(|below| below.to_string()));
        for bad in bad {
            let error = with("", &[], &[(&key, &bad)]).unwrap_err();
            assert_eq!(error.problems.len(), 1, "{key} = {bad}: {error}");
            assert_eq!(error.problems[0].key, key);
        }
        ranges += 1;
    }
    assert!(ranges > 20);
}

#[test]
fn every_key_has_a_variable_and_a_flag() {
    let all = parse(&uncommented()).unwrap();
    for (key, _, variable) in documented() {
        let shown = all.settings.iter().find(|shown| shown.key == key).unwrap();
        let text = match shown.value.clone().unwrap() {
            Value::Flag(flag) => flag.to_string(),
            Value::Integer(number) => number.to_string(),
            Value::Text(text) => text,
            Value::Path(path) => path.display().to_string(),
            Value::List(items) => items.join(","),
        };
        let base = "[reasoner]\nmodel = \"m\"\nscript = \"s\"\n[n8n]\nsecret_file = \"s\"";
        let by_env = with(base, &[(&variable, &text)], &[]).unwrap();
        assert_eq!(by_env.origin(&key), Some(&Origin::Environment { variable }), "{key}");
        let by_flag = with(base, &[], &[(&key, &text)]).unwrap();
        assert_eq!(by_flag.origin(&key), Some(&Origin::Flag), "{key}");
        assert_eq!(by_env.config, by_flag.config, "{key}");
    }
}

#[test]
fn a_flag_overrides_the_environment_and_that_the_file() {
    let file = "[agent]\nmax_tasks = 2\nlease_seconds = 30\nlabels = [\"a\"]\npoll_seconds = 3\n";
    let env = [
        ("BZZZ_AGENT_MAX_TASKS", "3"),
        ("BZZZ_AGENT_LEASE_SECONDS", "40"),
        ("BZZZ_AGENT_LABELS", "b, c,"),
        ("BZZZ_HOME", "/nowhere"),
        ("BZZZ_CACHE", "/nowhere"),
        ("BZZZ_TEST_MARK", "x"),
        ("PATH", "/bin"),
    ];
    let loaded = with(file, &env, &[("agent.max_tasks", "4")]).unwrap();
    let agent = &loaded.config.agent;
    assert_eq!((agent.max_tasks, agent.lease_seconds, agent.poll_seconds), (4, 40, 3));
    assert_eq!(agent.labels, ["b", "c"]);
    let shown = |key: &str| {
        let shown = loaded.settings.iter().find(|shown| shown.key == key).unwrap();
        shown.to_string()
    };
    assert_eq!(shown("agent.max_tasks"), "agent.max_tasks = 4  # flag");
    assert_eq!(
        shown("agent.lease_seconds"),
        "agent.lease_seconds = 40  # environment, BZZZ_AGENT_LEASE_SECONDS"
    );
    assert_eq!(shown("agent.poll_seconds"), "agent.poll_seconds = 3  # file, line 5");
    assert_eq!(shown("agent.review"), "agent.review = true  # default");
    assert_eq!(shown("reasoner.model"), "# reasoner.model is not set");
    let json = serde_json::to_value(&loaded.settings).unwrap();
    let poll = json.as_array().unwrap().iter().find(|row| row["key"] == "agent.poll_seconds");
    let expected = serde_json::json!({
        "key": "agent.poll_seconds", "value": 3, "origin": {"from": "file", "line": 5}
    });
    assert_eq!(poll, Some(&expected));
}

#[test]
fn a_wrong_value_in_the_file_is_a_problem_also_when_it_is_overridden() {
    let error = with("[agent]\nmax_tasks = 0\n", &[("BZZZ_AGENT_MAX_TASKS", "3")], &[]);
    assert_eq!(
        lines(&error.unwrap_err()),
        ["2: agent.max_tasks: expected a whole number from 1 to 64, found 0"]
    );
}

/// A file in which most lines are wrong.
const ALL_WRONG: &str = r#"max_tasks = 2
colour = "red"

[agnet]
max_task = 3
work = "true"

[agent]
lease_seconds = 4
poll_seconds = 1.5
labels = "bzzz-task"
capabilities = [
    "rust",
    7,
    "two words",
]
labels = []

[net]
listen = ["/ip4/0.0.0.0/tcp/0", "0.0.0.0:80"]
mdns = yes
max_connections = "12"

[sandbox]
kind = "doker"
lease_seconds = 3

[net]
peers = ["/ip4/192.0.2.1/tcp/0"]

[colours]
red = 1

[[repository]]
name = "Sample"
url = "https://me:hunter2@example.org/x.git"

[repository]
"#;

#[test]
fn everything_that_is_wrong_is_named_with_its_line() {
    let expected = [
        "1: max_tasks: the key stands in no section; it belongs below [agent]",
        "2: colour: unknown key",
        "4: agnet: unknown section; did you mean [agent]?",
        "5: agent.max_task: unknown key; did you mean max_tasks?",
        "6: agent.work: expected true or false, found a text; leave out the quotes",
        "9: agent.lease_seconds: expected a whole number from 5 to 86400, found 4",
        "10: agent.poll_seconds: expected a whole number from 1 to 86400, found 1.5; leave out the \
         fraction",
        "11: agent.labels: expected a list of at least 1, each element a text of 1 to 100 \
         characters, found a text; put the text in square brackets",
        "14: agent.capabilities[1]: expected a word of letters, digits and ._-+:/@, found 7",
        "15: agent.capabilities[2]: expected a word of letters, digits and ._-+:/@, found \
         `two words`",
        "17: agent.labels: the key is set a second time, first on line 11",
        "20: net.listen[1]: expected a multiaddr with an IP address, over TCP or QUIC, found \
         `0.0.0.0:80`; write for \
         example \"/ip4/192.0.2.7/tcp/7447\" or \"/ip4/192.0.2.7/udp/7447/quic-v1\"",
        "21: net.mdns: string values must be quoted, expected literal string",
        "22: net.max_connections: expected a whole number from 1 to 10000, found a text; leave out \
         the quotes",
        "25: sandbox.kind: expected one of \"docker\", \"process\", found `doker`; did you mean \
         \"docker\"?",
        "26: sandbox.lease_seconds: unknown key; it belongs below [agent]",
        "28: net: the section stands a second time, first on line 19",
        "29: net.peers[0]: expected a multiaddr with a host and a port, over TCP or QUIC, found \
         `/ip4/192.0.2.1/tcp/0`; write for example \"/ip4/192.0.2.7/tcp/7447\" or \
         \"/ip4/192.0.2.7/udp/7447/quic-v1\"",
        "31: colours: unknown section",
        "34: reasoner.model: the key is missing: kind \"ollama\" needs it; set it, or agent.work = \
         false to take no tasks",
        "34: repository[#1]: nothing says where its issues are; set board or github",
        "35: repository[#1].name: expected a name of at most 64 small letters, digits and ._-, \
         found `Sample`",
        "36: repository[#1].url: the address holds credentials; leave them out, put the token into \
         a file of its own and name it in token_file",
        "38: repository: the section stands a second time, first on line 34",
    ];
    let mut found = report(ALL_WRONG);
    // The keys of a second [repository] are checked as well, after its own line.
    found.retain(|line| !line.starts_with("38: repository[#2]"));
    found.retain(|line| !line.starts_with("38: repository: a repository is written"));
    assert_eq!(found, expected);
}

#[test]
fn what_is_no_toml_hides_nothing_else() {
    // An array that isn't closed, noticed only on the next line.
    assert_report(
        "[net]\nlisten = [\"/ip4/0.0.0.0/tcp/0\",\nmdns = 3\n[agent]\nwrok = true\n",
        &[
            "2: net.listen: the value that begins here has no end: unexpected `=` in array, \
             expected value, `]` on line 3",
            "3: net.mdns: expected true or false, found 3",
            "5: agent.wrok: unknown key; did you mean work?",
        ],
    );
    // A text that isn't closed, noticed only at the end of the file.
    let found = report("[node]\nname = \"\"\"x\n[agent]\nwrok = true\n");
    assert!(found[0].starts_with("2: node.name: the value that begins here has no end"));
    assert_eq!(found[1..], ["4: agent.wrok: unknown key; did you mean work?"]);
    // Headers that aren't closed keep their keys.
    let found = report("[agent\nwrok = true\nmax_tasks = 0\n[[repository]\nnaem = \"x\"\n");
    assert!(found[0].starts_with("1: ") && found[0].contains("unclosed table"), "{found:?}");
    assert_eq!(
        found[1..3],
        [
            "2: agent.wrok: unknown key; did you mean work?",
            "3: agent.max_tasks: expected a whole number from 1 to 64, found 0",
        ]
    );
    assert!(found[3].starts_with("4: ") && found[3].contains("unclosed array table"));
    assert!(found.iter().any(|line| line.starts_with("5: repository[#1].naem: unknown key")));
    // Words that TOML doesn't have, one a line.
    for (text, line) in [
        ("[agent]\nwork: true\n", "2: "),
        ("[agent]\nwork = True\n", "2: agent.work: "),
        ("[agent]\nwork = \n", "2: agent.work: "),
        ("[agent]\nmax_tasks = 010\n", "2: agent.max_tasks: "),
        ("[agent]\nmax_tasks = 99999999999999999999\n", "2: agent.max_tasks: "),
        ("[node]\nname = \"x\n", "2: node.name: "),
        ("[node]\nname = ${NAME}\n", "2: node.name: "),
        ("[]\n", "1: "),
        ("= 3\n", "1: "),
    ] {
        let found = report(text);
        assert_eq!(found.len(), 1, "{text}: {found:?}");
        assert!(found[0].starts_with(line), "{text}: {found:?}");
    }
}

#[test]
fn a_key_that_could_not_be_read_is_not_called_missing() {
    let found = report(
        "[reasoner]\nmodel = qwen\n[[repository]]\nname = \"x\"\nurl = /srv/x\nbord = \"/srv/b\"\n",
    );
    assert_eq!(found.len(), 3, "{found:?}");
    for (line, start) in found.iter().zip(["2: reasoner.model", "5: repository.url", "6: "]) {
        assert!(line.starts_with(start), "{found:?}");
    }
}

#[test]
fn keys_that_contradict_each_other_are_named() {
    let repository = "[[repository]]\nname = \"x\"\nurl = \"x.git\"\nboard = \"b\"\n";
    assert_report(
        &format!("{repository}{repository}"),
        &[
            "1: reasoner.model: the key is missing: kind \"ollama\" needs it; set it, or \
             agent.work = false to take no tasks",
            "6: repository[#2].name: the repository that begins on line 1 has the same",
            "7: repository[#2].url: the repository that begins on line 1 has the same",
        ],
    );
    assert!(parse(&format!("[agent]\nwork = false\n{repository}")).is_ok());
    assert_report(
        "[api]\nlisten = \"0.0.0.0:80\"\n[reasoner]\nkind = \"openai\"\n",
        &[
            "2: api.listen: other machines can reach 0.0.0.0:80; listen on 127.0.0.1, or set \
             api.allow_remote = true if that is meant",
            "4: reasoner.model: the key is missing: kind \"openai\" needs it",
            "4: reasoner.url: the key is missing: kind \"openai\" needs it",
        ],
    );
    assert!(parse("[api]\nlisten = \"[::]:80\"\nallow_remote = true\n").is_ok());
    assert!(parse("[api]\nlisten = \"[::1]:80\"\n").is_ok());
    assert_report(
        "[reasoner]\nkind = \"scripted\"\n[sandbox]\nkind = \"process\"\nimage = \"x\"\n",
        &[
            "2: reasoner.script: the key is missing: kind \"scripted\" needs it",
            "5: sandbox.image: kind \"process\" has no container that this could apply to; leave \
             the key out, or set sandbox.kind = \"docker\"",
        ],
    );
    let error = with("", &[("BZZZ_REASONER_KIND", "scripted")], &[]).unwrap_err();
    let variable = "BZZZ_REASONER_KIND".to_owned();
    assert_eq!(error.problems[0].place, Place::Environment { variable });
}

#[test]
fn a_webhook_needs_its_secret_and_a_rule_its_two_parts() {
    let url = "[n8n]\nwebhook_url = \"https://n8n.example.org/webhook/x\"\n";
    assert_eq!(
        lines(&with(url, &[], &[]).unwrap_err()),
        ["2: n8n.secret_file: the key is missing: `webhook_url` needs it; name the file that \
             holds the secret for signatures"]
    );
    let both = format!("{url}secret_file = \"n8n.secret\"\n");
    let n8n = with(&both, &[], &[]).unwrap().config.n8n;
    assert_eq!(n8n.webhook_url.as_deref(), Some("https://n8n.example.org/webhook/x"));
    assert_eq!((n8n.acknowledge_seconds, n8n.max_raises), (3_600, 3));

    let rules = "[reasoner]\nchoose = [\"kind=docs=qwen3:4b\", \"large files=m\"]\n";
    let rules = with(rules, &[], &[]).unwrap().config.reasoner.choose;
    assert_eq!(rules, ["kind=docs=qwen3:4b", "large files=m"]);
    for wrong in ["docs", "docs=", "=m", " docs=m", "docs =m", "docs= m", "docs=two words"] {
        let text = format!("[reasoner]\nchoose = [\"{wrong}\"]\n");
        let found = lines(&with(&text, &[], &[]).unwrap_err());
        let expected = "2: reasoner.choose[0]: expected a label, `=` and the name of a model";
        assert!(found[0].starts_with(expected), "{found:?}");
    }
}

#[test]
fn secrets_are_refused_and_never_repeated() {
    let secret = "sk-hunter2hunter2";
    for text in [
        format!("[reasoner]\napi_key = \"{secret}\"\n"),
        format!("[reasoner]\nkey = \"{secret}\"\n"),
        format!("[reasoner]\nkey_file = \"{secret}\"\n"),
        format!("[reasoner]\nurl = \"http://{secret}@127.0.0.1/\"\n"),
        format!("[reasoner]\nurl = \"http://127.0.0.1/?key={secret}\"\n"),
        format!("[[repository]]\nurl = \"https://{secret}@example.org/x\"\n"),
        format!("[[repository]]\nurl = \"https://x:{secret}@example.org/x\"\n"),
        format!("[[repository]]\nurl = \"ssh://x:{secret}@example.org/x\"\n"),
        format!("[[repository]]\nurl = \"x:{secret}@example.org:x\"\n"),
        format!("[[repository]]\ntoken = \"{secret}\"\n"),
        format!("[[repository]]\ntoken_file = \"{secret}\"\n"),
        format!("[reasoner]\nkey_file = {secret}\n"),
    ] {
        let found = report(&text).join("\n");
        assert!(!found.contains("hunter2"), "{text}: {found}");
        assert!(found.contains("2: "), "{text}: {found}");
    }
    for (variable, value) in [("BZZZ_REASONER_KEY", secret), ("BZZZ_REASONER_KEY_FILE", secret)] {
        let error = with("", &[(variable, value)], &[]).unwrap_err();
        assert!(!error.to_string().contains("hunter2"));
        assert!(error.to_string().contains(variable));
    }
}

#[test]
fn remotes_are_paths_or_addresses_and_no_programs() {
    let remote = |url: &str| {
        let head = "[agent]\nwork = false\n[[repository]]\nname = \"x\"\nboard = \"b\"\n";
        parse(&format!("{head}url = {}\n", literal(url)))
    };
    for (url, expected) in [
        ("x.git", "/etc/bzzz/x.git"),
        ("/srv/a:b.git", "/srv/a:b.git"),
        ("https://example.org/x.git", "https://example.org/x.git"),
        ("ssh://git@example.org:22/x.git", "ssh://git@example.org:22/x.git"),
        ("git@example.org:x.git", "git@example.org:x.git"),
        ("file:///srv/x.git", "file:///srv/x.git"),
    ] {
        assert_eq!(remote(url).unwrap().config.repositories[0].url, expected);
    }
    for url in
        ["ext::sh -c true", "--upload-pack=x", "ftp://x/y", "~/x.git", "", "a\nb", "https://"]
    {
        let error = remote(url).expect_err(url);
        assert_eq!(error.problems.len(), 1, "{error}");
    }
}

#[test]
fn addresses_are_those_that_the_network_takes() {
    let id = "12D3KooWK99VoVxNE7XzyBwXEzW7xhK7Gpv85r9F3V3fyKSUKPH5";
    let named = format!("/ip4/192.0.2.1/udp/1/quic-v1/p2p/{id}");
    let fits = |key: &str, address: &str| with("", &[], &[(key, address)]).is_ok();
    for (address, listen, peer) in [
        ("/ip4/192.0.2.1/tcp/1", true, true),
        ("/ip6/::1/udp/1/quic-v1", true, true),
        ("/ip4/192.0.2.1/tcp/0", true, false),
        ("/ip4/0.0.0.0/tcp/1", true, false),
        ("/ip6/::/udp/1/quic-v1", true, false),
        ("/dns4/example.org/tcp/1", false, true),
        (&named, false, true),
        ("/ip4/192.0.2.1/udp/1", false, false),
        ("/ip4/192.0.2.1/tcp/1/ws", false, false),
        ("/ip4/192.0.2.1", false, false),
        ("192.0.2.1:1", false, false),
    ] {
        assert_eq!(fits("net.listen", address), listen, "{address}");
        assert_eq!(fits("net.peers", address), peer, "{address}");
    }
}

#[test]
fn variables_and_flags_that_there_are_not_are_named() {
    let env = [
        ("BZZZ_AGENT_MAX_TASK", "3"),
        ("BZZZ_COLOUR", "red"),
        ("BZZZ_REPOSITORY_URL", "x"),
        ("BZZZ_NET_MDNS", "yes"),
        ("BZZZ_NET_LISTEN", "/ip4/127.0.0.1/tcp/0,x"),
    ];
    let flags = [("agent.max_tusks", "1"), ("nonsense", "1"), ("agent.lease_seconds", "1")];
    let found = lines(&with("[node]\nnaem = 1\n", &env, &flags).unwrap_err());
    let expected = [
        "2: node.naem: unknown key; did you mean name?",
        "environment variable BZZZ_AGENT_MAX_TASK: unknown environment variable; did you mean \
         BZZZ_AGENT_MAX_TASKS?",
        "environment variable BZZZ_COLOUR: unknown environment variable",
        "environment variable BZZZ_NET_LISTEN: net.listen[1]: expected a multiaddr with an IP \
         address, \
         over TCP or QUIC, found `x`; write for example \"/ip4/192.0.2.7/tcp/7447\" or \
         \"/ip4/192.0.2.7/udp/7447/quic-v1\"",
        "environment variable BZZZ_NET_MDNS: net.mdns: expected true or false, found `yes`",
        "environment variable BZZZ_REPOSITORY_URL: unknown environment variable; repositories are \
         set in the file",
        "command line: agent.lease_seconds: expected a whole number from 5 to 86400, found `1`",
        "command line: agent.max_tusks: unknown key; did you mean agent.max_tasks?",
        "command line: nonsense: unknown key",
    ];
    assert_eq!(found, expected);
}

#[test]
fn log_filters_are_those_of_tracing() {
    let level = |text: &str| with("", &[], &[("node.log_level", text)]);
    for good in ["info", "DEBUG", "off", "info,bzzz::net=debug", "warn,bzzz=trace"] {
        assert!(level(good).is_ok(), "{good}");
    }
    for bad in ["inf", "", "info,=x=", "bzzz=loud", "everything"] {
        assert!(level(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_said_to_be_so() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join(FILE_NAME);
    let load = |path: &Path| Config::load(path, &BTreeMap::new(), &[]);
    let message = |path: &Path| load(path).unwrap_err().to_string();

    assert!(message(&path).contains("`bzzz init` makes one"));
    assert!(message(home.path()).contains("this is not a file"));

    fs::write(&path, b"[node]\nname = \"\xff\"\n").unwrap();
    let error = load(&path).unwrap_err();
    let place = Place::File { path: path.clone(), line: Some(2) };
    assert_eq!(error.problems[0].place, place);

    let limit = usize::try_from(MAX_FILE).unwrap();
    fs::write(&path, "#".repeat(limit)).unwrap();
    assert!(load(&path).is_ok());
    fs::write(&path, "#".repeat(limit + 1)).unwrap();
    assert!(message(&path).contains("longer than 262144 bytes"));

    fs::write(&path, "\u{feff}[node]\r\nname = \"maple\"\r\n[store]\r\nkind = \"memory\"\r\n")
        .unwrap();
    let loaded = load(&path).unwrap();
    assert_eq!(loaded.config.node.name.as_deref(), Some("maple"));
    assert_eq!(loaded.config.store.path, home.path().join("store"));
    assert_eq!(loaded.origin("store.kind"), Some(&Origin::File { line: 4 }));
}

#[test]
fn a_report_is_bounded() {
    let many: String = (0..5_000).map(|n| format!("x{n} = 1\n")).collect();
    let found = report(&format!("[agent]\n{many}"));
    assert_eq!(found.len(), MAX_PROBLEMS + 1);
    assert!(found[MAX_PROBLEMS].contains("there are 4000 further problems"));

    let many: String = (0..500).map(|_| "[agent]\nwork = maybe\nwork = perhaps\n").collect();
    let found = report(&many);
    assert!(found.len() <= 200, "{}", found.len());
    assert!(found.iter().any(|line| line.contains("cannot be read any further")));

    let labels: Vec<String> = (0..=MAX_ITEMS).map(|n| format!("\"{n}\"")).collect();
    let found = report(&format!("[agent]\nlabels = [{}]\n", labels.join(",")));
    assert_eq!(found, ["2: agent.labels: the list is longer than 64 elements"]);

    let one = |n| format!("[[repository]]\nname = \"r{n}\"\nurl = \"u{n}\"\nboard = \"b\"\n");
    let many: String = (0..MAX_REPOSITORIES + 2).map(one).collect();
    let found = report(&format!("[agent]\nwork = false\n{many}"));
    assert_eq!(found, ["1027: repository: more than 256 repositories"]);
}

#[test]
fn issues_come_from_one_place_that_can_be_entered() {
    let work = "agent.work = false\n[[repository]]\nname = \"a\"\nurl = \"/u\"\n";
    let github = "github = \"o/r\"\n";
    let no_app = "5: repository[a].github: GitHub needs a token or an App to enter with; set \
                  token_file, or github_app and its key file";
    let token = "token_file = \"t\"\n";
    let cases: [(&[&str], &[&str]); 9] = [
        (&[], &["2: repository[a]: nothing says where its issues are; set board or github"]),
        (
            &["board = \"b\"\n", github, token],
            &["6: repository[a].github: the issues come from the board already; leave out board \
               or github"],
        ),
        (&[github], &[no_app]),
        (
            &["board = \"b\"\n", "github_draft = true\n"],
            &["6: repository[a].github_draft: the repository is not one on GitHub; set github = \
               \"OWNER/NAME\", or leave the key out"],
        ),
        (
            &[github, token, "github_app = 1\n"],
            &["6: repository[a].token_file: the node enters as an App already; leave out \
               token_file, or the App's keys"],
        ),
        (
            &[github, "github_app = 1\n"],
            &["6: repository[a].github_app: the App's private key is missing; set \
               github_key_file"],
        ),
        (
            &[github, "github_key_file = \"k\"\n"],
            &["6: repository[a].github_key_file: the App's number is missing; set github_app"],
        ),
        (
            &[github, token, "github_installation = 1\n"],
            &["7: repository[a].github_installation: an installation is that of an App; set \
               github_app, or leave it out"],
        ),
        (
            &[github, token, "github_url = \"http://github.example\"\n"],
            &["7: repository[a].github_url: a token is sent only over https"],
        ),
    ];
    for (keys, expected) in cases {
        assert_report(&format!("{work}{}", keys.concat()), expected);
    }
    let wrong = report(&format!("{work}github = \"o\"\n{token}"));
    assert!(wrong[0].contains("expected a repository on GitHub, OWNER/NAME"), "{wrong:?}");
    let good = parse(&format!("{work}{github}{token}github_url = \"http://127.0.0.1:1\"\n"));
    assert_eq!(good.unwrap().config.repositories[0].github.as_deref(), Some("o/r"));
}

#[test]
fn what_hive_names_is_taken_up_only_with_a_token_that_stays_where_it_belongs() {
    let hive = |more: &str| format!("[agent]\nwork = false\n[hive]\ntake_up = true\n{more}");
    assert_report(
        &hive(""),
        &[
            "4: hive.github_token_file: the key is missing: `take_up` needs it",
            "4: hive.url: the key is missing: `take_up` needs it",
        ],
    );
    let whole =
        |more: &str| hive(&format!("url = \"http://h\"\ngithub_token_file = \"t\"\n{more}"));
    let good = parse(&whole("owners = [\"acme/*\", \"a/b-*\", \"a/b\"]")).unwrap().config.hive;
    assert_eq!(good.owners, ["acme/*", "a/b-*", "a/b"]);
    assert!(!parse("").unwrap().config.hive.take_up);
    for bad in ["*", "*/*", "*/b", "a*/b", "a/*b", "a/b*c", "a/**", "a/", "/b", "a/b/*", "a/-*"] {
        let said = report(&whole(&format!("owners = [\"{bad}\"]")));
        assert!(said[0].contains("OWNER/NAME, where the name may end in *"), "{bad}: {said:?}");
    }
    for (url, said) in [
        ("http://github.example", "only over https"),
        ("http://127.0.0.1.evil.example", "only over https"),
        ("https://h.example/path", "scheme, name and port"),
        ("https://h_h.example", "scheme, name and port"),
    ] {
        let found = report(&whole(&format!("web_url = \"{url}\"")));
        assert!(found[0].contains(said), "{url}: {found:?}");
    }
    let found = report(&whole("github_url = \"http://api.example\""));
    assert!(found[0].contains("only over https"), "{found:?}");
    parse(&whole("web_url = \"http://127.0.0.1:1\"\ngithub_url = \"http://[::1]:1\"")).unwrap();
    // A node that takes repositories up needs a model for them.
    let said = report(&whole("").replace("work = false", "work = true"));
    assert!(said[0].contains("4: reasoner.model: the key is missing"), "{said:?}");
}

#[test]
fn repositories_can_be_written_in_line() {
    let loaded = parse(
        "repository = [{ name = \"a\", url = \"/u\", board = \"/b\" }]\nagent.work = false\n",
    );
    let repository = &loaded.unwrap().config.repositories[0];
    assert_eq!((repository.name.as_str(), repository.url.as_str()), ("a", "/u"));
}

#[test]
fn the_first_file_of_a_node_says_what_it_was_told() {
    let set = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let repository = |name: &str, token_file: Option<PathBuf>| Repository {
        branch: "trunk".to_owned(),
        board: Some(PathBuf::from("/srv/boards").join(name)),
        token_file,
        ..Repository::at(name, &format!("/srv/git/{name}.git"))
    };
    let repositories =
        [repository("a", None), repository("b", Some(PathBuf::from("/etc/bzzz/b \"x\".token")))];
    let values = [
        set("node.name", &literal("maple")),
        set("agent.max_tasks", "3"),
        set("sandbox.kind", "\"process\""),
        set("reasoner.kind", "\"scripted\""),
        set("reasoner.script", &literal("a \"b\".json")),
    ];
    let text = Config::render(&values, &repositories).unwrap();
    let loaded = parse(&text).unwrap();
    let config = &loaded.config;
    assert_eq!(config.node.name.as_deref(), Some("maple"));
    assert_eq!(config.agent.max_tasks, 3);
    assert_eq!(config.sandbox.kind, SandboxKind::Process);
    assert_eq!(config.reasoner.kind, ReasonerKind::Scripted);
    assert_eq!(config.reasoner.script.as_deref(), Some(Path::new("/etc/bzzz/a \"b\".json")));
    assert_eq!(config.repositories, repositories);
    assert!(text.contains("\n#lease_seconds = 120\n"));

    let wrong = Config::render(&[set("agent.max_tusks", "3")], &[]).unwrap_err();
    assert_eq!(wrong.problems[0].key, "agent.max_tusks");
    assert!(Config::render(&[set("agent.max_tasks", "\"3\"")], &[]).is_err());
    assert!(Config::render(&[set("node.name", "maple\nwork = 3")], &[]).is_err());
}

/// Lines of which a wrong file is made; `|` stands between them.
const PIECES: &str = "[agent]|[agent|[[repository]]|[[repository|[repository]|[net]|[x.y]|[]|[[]]|=\
    |work = true|work = |work.x = 1|labels = [|\"a\",|]|name = \"x\"|name = \"\"\"|\"\"\"|'''\
    |url = '|a = {|}|max_tasks = 0|mdns = no|\"taken out 0\".agent = 1|[\"taken out 0\".net]||# x\
    |\u{e9} = 3|\0|\r|x = [[[[[[|agent = 3|repository = [1, {}]";

fn pieces() -> impl Strategy<Value = String> {
    let lines: Vec<&str> = PIECES.split('|').collect();
    let line = prop_oneof![
        9 => proptest::sample::select(lines).prop_map(str::to_owned),
        1 => "[ -~]{0,20}",
    ];
    proptest::collection::vec(line, 0..12).prop_map(|lines| lines.join("\n"))
}

proptest! {
    /// Whatever a file holds, reading it ends, and each problem is on a line of it.
    #[test]
    fn any_file_is_read_to_its_end(text in pieces()) {
        if let Err(ConfigError { problems }) = parse(&text) {
            prop_assert!(!problems.is_empty());
            let lines = text.split('\n').count();
            for Problem { place, .. } in problems {
                if let Place::File { line: Some(line), .. } = place {
                    prop_assert!(usize::try_from(line).unwrap() <= lines);
                }
            }
        } else {
            let toml = toml_edit::Document::parse(text);
            prop_assert!(toml.is_ok());
        }
    }
}
