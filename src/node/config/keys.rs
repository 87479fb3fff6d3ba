//! The one table of keys. A key that stands here is checked, documented in the example, shown by
//! `bzzz config show` and a field of the typed configuration; there is no other list.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use libp2p::Multiaddr;

use super::table::{
    Form, Key, Section, Typed, Value, Values, choice, flag, integer, list, optional,
    optional_integer, required, text,
};

/// Makes an enum of the words that a key takes. The first one is the default.
macro_rules! words {
    ($(#[doc = $about:literal])+ $name:ident {
        $($(#[doc = $doc:literal])+ $variant:ident = $word:literal,)+
    }) => {
        $(#[doc = $about])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl $name {
            const WORDS: &[&str] = &[$($word),+];

            /// The word that stands for it in the file.
            pub fn as_str(self) -> &'static str {
                match self {
                    $($name::$variant => $word,)+
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl Typed for $name {
            fn from_value(value: &Value) -> Option<Self> {
                match value {
                    $(Value::Text(word) if word == $word => Some($name::$variant),)+
                    _ => None,
                }
            }
        }
    };
}

/// Makes a struct of plain data from a section's keys, and the section's part of the table.
macro_rules! section {
    ($(#[doc = $about:literal])+ $name:ident: $type:ident {
        $($(#[doc = $doc:literal])+ $key:ident: $of:ty = $spec:expr;)+
    }) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $type {
            $($(#[doc = $doc])+ pub $key: $of,)+
        }

        impl $type {
            pub(super) const SECTION: Section = Section {
                name: stringify!($name),
                about: &[$($about),+],
                keys: &[$(Key { name: stringify!($key), doc: &[$($doc),+], spec: $spec },)+],
            };

            /// The struct of checked values.
            pub(super) fn build(values: &Values) -> Self {
                Self {
                    $($key: Typed::required(
                        values.get(stringify!($key)).map(|setting| &setting.value),
                    ),)+
                }
            }
        }
    };
}

/// Every section but `[[repository]]`, in the order of the example.
pub(super) const SECTIONS: &[&Section] = &[
    &Node::SECTION,
    &Store::SECTION,
    &Net::SECTION,
    &Api::SECTION,
    &Agent::SECTION,
    &Discussion::SECTION,
    &Approvals::SECTION,
    &Budget::SECTION,
    &Sandbox::SECTION,
    &Reasoner::SECTION,
    &Hive::SECTION,
    &N8n::SECTION,
];

/// The section that can stand more than once.
pub(super) const REPOSITORY: &Section = &Repository::SECTION;

pub(super) fn section(name: &str) -> Option<&'static Section> {
    SECTIONS.iter().copied().find(|section| section.name == name)
}

words! {
    /// The form of the log.
    LogFormat {
        /// Lines for people.
        Text = "text",
        /// An object of JSON a line, for programs.
        Json = "json",
    }
}

words! {
    /// Where the logs of events are kept.
    StoreKind {
        /// On disk, in a database of RocksDB.
        Rocksdb = "rocksdb",
        /// On disk, in files of Hypercore 10, which other programs can read.
        Hypercore = "hypercore",
        /// In memory: gone when the node stops.
        Memory = "memory",
    }
}

words! {
    /// Where commands run.
    SandboxKind {
        /// In a container without network, capabilities and credentials.
        Docker = "docker",
        /// In a directory of this machine, without isolation.
        Process = "process",
    }
}

words! {
    /// Who decides what to do next.
    ReasonerKind {
        /// A model behind Ollama's `/api/chat`.
        Ollama = "ollama",
        /// A model behind an OpenAI-compatible `/v1/chat/completions`.
        Openai = "openai",
        /// A file of prepared answers, for demonstrations and tests.
        Scripted = "scripted",
    }
}

words! {
    /// What becomes of repositories that Hive doesn't list.
    Unlisted {
        /// No task of theirs is claimed.
        Rest = "rest",
        /// They are worked on.
        Work = "work",
    }
}

section! {
    /// The node itself.
    node: Node {
        /// The name by which people know this node. It proves nothing: the node's key does.
        /// Without one, the beginning of the key stands for it.
        name: Option<String> = optional(Form::Name, "maple");
        /// The form of the log on standard error: lines for people, or an object of JSON a line.
        log_format: LogFormat = choice(LogFormat::WORDS);
        /// What is logged: a level (error, warn, info, debug, trace, off), or a level for each
        /// part of the program, such as "info,bzzz::net=debug".
        log_level: String = text(Form::LogFilter, "info");
        /// The file that holds the passphrase of the key file, as one line that only the node's
        /// user can read, for a node that starts by itself. Without one, the terminal is asked.
        /// The passphrase itself never stands here.
        passphrase_file: Option<PathBuf> = optional(Form::SecretPath, "passphrase");
        /// How often this node records which heads of other logs it holds, if anything is new in
        /// them, so that nobody can rewrite those logs without it; 0 for never.
        witness_seconds: u64 = integer(0, 86_400, 60);
    }
}

section! {
    /// Where this node keeps the logs of events, its own and those of others.
    store: Store {
        /// On disk, in a database of RocksDB or in files of Hypercore 10, or in memory, which
        /// forgets everything when the node stops. `bzzz store migrate` changes it.
        kind: StoreKind = choice(StoreKind::WORDS);
        /// The store's directory.
        path: PathBuf = text(Form::Path, "store");
    }
}

section! {
    /// How this node meets others.
    net: Net {
        /// The addresses to listen on, TCP or QUIC. Port 0 takes any free port; an empty list
        /// listens on none, so that this node only dials.
        listen: Vec<Multiaddr> = list(
            Form::Listen,
            0,
            &["/ip4/0.0.0.0/tcp/0", "/ip4/0.0.0.0/udp/0/quic-v1"],
        );
        /// The addresses of peers to stay connected to, such as "/ip4/192.0.2.7/tcp/7447".
        peers: Vec<Multiaddr> = list(Form::Peer, 0, &[]);
        /// Whether to look for peers in the local network.
        mdns: bool = flag(true);
        /// How many connections are open at once, of both directions together.
        max_connections: u32 = integer(1, 10_000, 128);
        /// How long a node that starts waits for a peer that it can ask for its own log, in
        /// seconds, before it appends. It waits only if there are other members. A restored copy
        /// of a store forks the log if it appends before it has fetched what it said since.
        own_log_seconds: u64 = integer(0, 86_400, 10);
    }
}

section! {
    /// The status page, the metrics and the interface for programs, by which the command line talks
    /// to a running node.
    api: Api {
        /// The address and port to listen on. Port 0 takes any free port.
        listen: SocketAddr = text(Form::Socket, "127.0.0.1:0");
        /// Whether `listen` may be an address that other machines reach.
        allow_remote: bool = flag(false);
    }
}

section! {
    /// What this node takes on, and how it works with others on it.
    agent: Agent {
        /// Whether to take tasks. A node that takes none still keeps and serves the logs of all.
        work: bool = flag(true);
        /// What this node can do, such as "rust" or "gpu". A task that requires something else is
        /// left to others.
        capabilities: Vec<String> = list(Form::Word, 0, &[]);
        /// An issue is a task only if it carries one of these labels.
        labels: Vec<String> = list(Form::Line, 1, &["bzzz-task"]);
        /// How many tasks are worked on at once.
        max_tasks: u32 = integer(1, 64, 1);
        /// How long a claim stands that its owner doesn't renew. Then another may take the task.
        lease_seconds: u64 = integer(5, 86_400, 120);
        /// How long others can object to a plan before work starts.
        plan_window_seconds: u64 = integer(0, 86_400, 20);
        /// Whether to review the plans of others.
        review: bool = flag(true);
        /// How often a plan is revised after objections before people are asked.
        max_plan_revisions: u32 = integer(0, 20, 2);
        /// How long to wait between two looks at the issues of the repositories.
        poll_seconds: u64 = integer(1, 86_400, 10);
        /// How long to wait between two looks at the checks and reviews of a pull request.
        watch_seconds: u64 = integer(1, 86_400, 60);
        /// How often work is taken up again because checks failed or changes were requested.
        /// Then people are asked.
        max_rounds: u32 = integer(0, 32, 3);
    }
}

section! {
    /// How this node thinks together with others before and while it works (docs/discussion.md).
    /// Whatever stands here, the limits of the fold hold for everybody.
    discussion: Discussion {
        /// How many other nodes are chosen to review a plan of this node, and waited for.
        reviewers: u32 = integer(0, 16, 3);
        /// How many other nodes are chosen to help this node, and waited for.
        helpers: u32 = integer(0, 16, 3);
        /// Whether to help other nodes that are stuck.
        help: bool = flag(true);
        /// How often other nodes are asked for help in a task before people are; 0 to ask people
        /// at once.
        max_help: u32 = integer(0, 8, 2);
        /// How long offers of help are awaited.
        help_seconds: u64 = integer(1, 86_400, 30);
        /// How long a question to the people of the swarm is open before it goes to others.
        question_seconds: u64 = integer(1, 604_800, 600);
        /// From which confidence on two plans that touch the same are put in an order, in percent:
        /// 90 is a file that both name, 65 two names that both use. 101 for never.
        order_percent: u32 = integer(1, 101, 60);
        /// How long the owner of the other task is waited for.
        order_seconds: u64 = integer(1, 86_400, 30);
        /// How many members may take part in the discussion of a task of this node.
        participants: u32 = integer(1, 16, 16);
        /// How long a chain of answers may be.
        depth: u32 = integer(1, 8, 8);
        /// How many messages one author may say.
        messages_of_author: u32 = integer(1, 32, 32);
        /// How many messages all authors may say together.
        messages: u32 = integer(1, 256, 256);
        /// How much text all messages together may have.
        text_kib: u64 = integer(1, 256, 256);
        /// For how long messages are taken after the claim was won or the work resumed.
        lifetime_seconds: u64 = integer(1, 604_800, 604_800);
    }
}

section! {
    /// What people must approve before this node does it. An approval is bound to the exact plan,
    /// command or commit. In patterns, `*` stands for anything and `?` for one character.
    approvals: Approvals {
        /// Every plan.
        plans: bool = flag(false);
        /// The plan of this node's first task in a repository.
        first_task: bool = flag(false);
        /// Commands that match one of these patterns, such as "*npm publish*".
        commands: Vec<String> = list(Form::Line, 0, &[]);
        /// Changes of files whose paths match one of these patterns, such as ".github/*".
        files: Vec<String> = list(Form::Line, 0, &[]);
        /// Changes of more lines than this, added and removed together; 0 for any number.
        lines: u32 = integer(0, 1_000_000, 0);
        /// How long an approval is awaited before people outside of the swarm are asked.
        wait_seconds: u64 = integer(1, 604_800, 3_600);
    }
}

section! {
    /// What one task may cost, and what all of a day may. A task that reaches a bound is escalated
    /// to people.
    budget: Budget {
        /// How many commands may run.
        commands: u32 = integer(1, 100_000, 40);
        /// How often the model may be asked.
        model_calls: u32 = integer(1, 100_000, 60);
        /// How many tokens may be read and written. An answer whose cost the model doesn't tell is
        /// counted at its bound, not at zero.
        tokens: u64 = integer(1, 1_000_000_000_000, 200_000);
        /// How long a task may take from its claim to its end, or from an answer of people or the
        /// feedback on its pull request on.
        wall_seconds: u64 = integer(1, 2_592_000, 3_600);
        /// How many commands all tasks of a day may run; a day begins at midnight UTC. A node that
        /// reaches a bound of the day gives its tasks back and takes none until the next.
        day_commands: u32 = integer(1, 10_000_000, 2_000);
        /// How often the model may be asked in a day, reviews of the plans of others included.
        day_model_calls: u32 = integer(1, 10_000_000, 3_000);
        /// How many tokens may be read and written in a day.
        day_tokens: u64 = integer(1, 1_000_000_000_000, 5_000_000);
        /// How many failures in a row of the model, the sandbox or the git remote are borne.
        retries: u32 = integer(1, 100, 5);
    }
}

section! {
    /// Where commands run and what they may use there. A limit that cannot be enforced is a refusal
    /// to run.
    sandbox: Sandbox {
        /// A container, or a plain process, which has no isolation at all: it can read, change and
        /// send whatever this node's user can. Take it for work that you would run by hand.
        kind: SandboxKind = choice(SandboxKind::WORDS);
        /// The socket of the Docker engine, or of Podman's service (/run/podman/podman.sock).
        docker_socket: PathBuf = text(Form::Path, "/var/run/docker.sock");
        /// The image of the container. It has to be on this machine: none is fetched.
        image: String = text(Form::Word, "bzzz-sandbox:1");
        /// Further images that a repository may ask for in its own file (docs/sandbox.md). They
        /// have to be on this machine too.
        images: Vec<String> = list(Form::Word, 0, &[]);
        /// The runtime of the container, if not the engine's own choice. Podman takes it from its
        /// own settings alone.
        runtime: Option<String> = optional(Form::Word, "runsc");
        /// Memory, without swap. A container holds its files in memory too: the engine is asked for
        /// this and `disk_mib` together.
        memory_mib: u64 = integer(16, 1_048_576, 1_024);
        /// Share of the processors, in thousandths of one.
        cpus_milli: u32 = integer(10, 1_024_000, 1_000);
        /// How many processes and threads may exist at once.
        processes: u32 = integer(8, 32_768, 256);
        /// Room for the files of the task.
        disk_mib: u64 = integer(1, 1_048_576, 512);
        /// How much of one command's output is kept, both streams together. The rest is counted.
        output_kib: u64 = integer(1, 65_536, 256);
        /// How long one command may run.
        command_seconds: u64 = integer(1, 86_400, 120);
        /// The hosts that a command may reach, by HTTP and HTTPS through a proxy of this node's:
        /// "crates.io", "*.crates.io" for all names below it, "example.org:8443" for one port.
        /// Without a port, 443 and 80 are meant. Empty, there is no network at all; otherwise
        /// the node needs the right to enter a container's network (docs/sandbox.md).
        egress: Vec<String> = list(Form::Host, 0, &[]);
        /// How much one command may send and receive that way, both together.
        egress_mib: u64 = integer(1, 1_048_576, 256);
    }
}

section! {
    /// Who decides what to do next in a task.
    reasoner: Reasoner {
        /// A model behind Ollama or behind a server that speaks like OpenAI's, or a file of
        /// prepared answers, for demonstrations and tests.
        kind: ReasonerKind = choice(ReasonerKind::WORDS);
        /// The address of the server: its root for Ollama (http://127.0.0.1:11434 if none is set),
        /// what stands before "/v1" for "openai", which has to be set.
        url: Option<String> = optional(Form::Http, "http://127.0.0.1:11434");
        /// The name of the model. It has to be set on a node that works on a repository.
        model: Option<String> = optional(Form::Word, "qwen3:8b");
        /// The file that holds the key of the server's interface. The key itself never stands here.
        key_file: Option<PathBuf> = optional(Form::SecretPath, "reasoner.key");
        /// The file of prepared answers, for kind "scripted", where it has to be set.
        script: Option<PathBuf> = optional(Form::Path, "script.json");
        /// Other models for some tasks, "LABEL=MODEL" each: the first whose label an issue carries
        /// is taken.
        choose: Vec<String> = list(Form::Rule, 0, &[]);
        /// The address of a webhook that is asked once for each task which model to take. If it
        /// doesn't answer with a model that there is, what stands here otherwise applies.
        /// Requests are signed with n8n.secret_file, if that is set.
        select_url: Option<String> = optional(Form::Http, "http://127.0.0.1:5678/webhook/model");
        /// How long that webhook may take.
        select_seconds: u64 = integer(1, 600, 5);
        /// How long one answer may take.
        timeout_seconds: u64 = integer(1, 86_400, 300);
        /// How long the model may be silent within an answer.
        idle_seconds: u64 = integer(1, 86_400, 60);
        /// How long an answer may be, in tokens.
        max_tokens: u32 = integer(16, 1_000_000, 2_048);
        /// How much the model is told at once, in bytes of UTF-8. Older steps are left out first.
        context_bytes: u32 = integer(1_000, 10_000_000, 24_000);
    }
}

section! {
    /// Hive, a registry of projects that says which repositories are worked on, and is told what
    /// becomes of tasks. It can only narrow what this file allows, unless `take_up` is set. While
    /// it doesn't answer, its last word counts; before the first, this file alone.
    hive: Hive {
        /// Its address: what stands before "/api/bzzz". Without one there is no Hive.
        url: Option<String> = optional(Form::Http, "https://hive.example.org");
        /// The file that holds the key of its interface. The key itself never stands here.
        key_file: Option<PathBuf> = optional(Form::SecretPath, "hive.key");
        /// How long to wait between two looks at its projects.
        poll_seconds: u64 = integer(1, 86_400, 60);
        /// How long one of its answers may take.
        timeout_seconds: u64 = integer(1, 600, 15);
        /// What becomes of a repository of this file that Hive doesn't list: its tasks rest, or
        /// they are worked on.
        unlisted: Unlisted = choice(Unlisted::WORDS);
        /// Whether repositories on GitHub that only Hive names are worked on, if `owners` has them.
        /// It needs `url` and `github_token_file`.
        take_up: bool = flag(false);
        /// The repositories that may be taken up: OWNER/NAME, where `*` at the end of the name
        /// stands for any end. None if it is empty.
        owners: Vec<String> = list(Form::OwnerPattern, 0, &[]);
        /// How many repositories are taken up at once, those included that are let go and have a
        /// task that is not over.
        max_repositories: u64 = integer(1, 64, 16);
        /// Whether private repositories are taken up too. What the node does in a repository is in
        /// the swarm's logs, and the model reads its files.
        private: bool = flag(false);
        /// For how long what was taken up is worked on while Hive does not answer, also over a
        /// restart.
        keep_seconds: u64 = integer(0, 31_536_000, 86_400);
        /// The host at which all repositories that are taken up are: scheme, name and port.
        web_url: String = text(Form::Http, "https://github.com");
        /// The address of the API of this host: https://HOST/api/v3 for an Enterprise Server.
        github_url: String = text(Form::Http, "https://api.github.com");
        /// The file that holds the token for repositories that are taken up. The token itself never
        /// stands here, and is sent to `web_url` and `github_url` alone.
        github_token_file: Option<PathBuf> = optional(Form::SecretPath, "hive-github.token");
    }
}

section! {
    /// N8N, or anything else that takes webhooks: is told when a task needs people, and brings back
    /// what they say.
    n8n: N8n {
        /// The address of the webhook for questions to people. Without one nobody is told.
        webhook_url: Option<String> =
            optional(Form::Http, "https://n8n.example.org/webhook/bzzz");
        /// The file that holds the secret with which requests are signed, in both directions. It
        /// has to be set if `webhook_url` is.
        secret_file: Option<PathBuf> = optional(Form::SecretPath, "n8n.secret");
        /// The file that holds a key with which a workflow can answer instead of a signature.
        callback_key_file: Option<PathBuf> = optional(Form::SecretPath, "n8n-callback.key");
        /// The address at which a workflow reaches this node's interface. Requests tell it where to
        /// answer.
        callback_url: Option<String> = optional(Form::Http, "http://192.0.2.7:7448");
        /// How long the webhook may take.
        timeout_seconds: u64 = integer(1, 600, 15);
        /// After how long a question that nobody acknowledged or answered is raised and told again;
        /// 0 for never.
        acknowledge_seconds: u64 = integer(0, 2_592_000, 3_600);
        /// How often a question is raised.
        max_raises: u32 = integer(0, 16, 3);
    }
}

section! {
    /// A repository whose issues are tasks. Stands once for each repository, and not at all on a
    /// node that only keeps logs.
    repository: Repository {
        /// A short name, by which the command line and the page call it.
        name: String = required(Form::Slug, "sample");
        /// The git remote: a path or an address (https, ssh, git, file), without credentials.
        url: String = required(Form::Remote, "/srv/git/sample.git");
        /// The branch that work starts from and is proposed to.
        branch: String = text(Form::Branch, "main");
        /// The directory of the task board, whose files are the issues. Either this or `github`
        /// has to be set.
        board: Option<PathBuf> = optional(Form::Path, "/srv/boards/sample");
        /// The repository on GitHub whose issues are the tasks (docs/github.md).
        github: Option<String> = optional(Form::OwnerName, "octo-org/sample");
        /// The address of GitHub's API: `https://api.github.com` if none is set, and
        /// https://HOST/api/v3 for an Enterprise Server.
        github_url: Option<String> = optional(Form::Http, "https://github.example.org/api/v3");
        /// Whether pull requests begin as drafts.
        github_draft: bool = flag(false);
        /// The number of the GitHub App that this node enters as, instead of a token.
        github_app: Option<u64> = optional_integer(1, 1_000_000_000_000, "123456");
        /// The file that holds the App's private key in PEM. The key itself never stands here.
        github_key_file: Option<PathBuf> = optional(Form::SecretPath, "app.pem");
        /// The number of the App's installation. It is looked up if none is set.
        github_installation: Option<u64> = optional_integer(1, 1_000_000_000_000, "7890123");
        /// The file that holds the token for the remote, and for GitHub. The token itself never
        /// stands here.
        token_file: Option<PathBuf> = optional(Form::SecretPath, "sample.token");
    }
}
