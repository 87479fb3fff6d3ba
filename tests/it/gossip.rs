//! Topics of gossip: two whole nodes, a member whose log others carry, and two strangers who listen
//! and speak. Real libp2p on the loopback, RocksDB and the nodes' own loops.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bzzz::engine::Engine;
use bzzz::kernel::event::kinds::{
    ClaimIntended, ClaimWon, MemberAdmitted, Payload, Role, TaskFinished, TaskSeen, WorkDone,
};
use bzzz::kernel::event::{Draft, Event, SignedEvent, TaskId, Topic};
use bzzz::kernel::identity::{AuthorId, SecretKey, SwarmId};
use bzzz::net::{self, Handle, PeerKey, Verdict};
use bzzz::node::config::{Config, literal};
use bzzz::node::{Home, Node, clock};
use bzzz::store::memory::MemoryStore;
use tokio::runtime::Runtime;

const HANG: Duration = Duration::from_secs(120);

fn wait(what: &str, mut ready: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !ready() {
        assert!(begun.elapsed() < HANG, "waited too long for {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A node without a repository: it replicates, and its agent has nothing to do.
fn config(peers: &[String]) -> String {
    let peers: Vec<String> = peers.iter().map(|peer| literal(peer)).collect();
    let values = [
        ("net.listen", "[\"/ip4/127.0.0.1/tcp/0\"]".to_owned()),
        ("net.peers", format!("[{}]", peers.join(", "))),
        ("net.mdns", "false".to_owned()),
        ("sandbox.kind", literal("process")),
    ];
    let values: Vec<_> = values.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    Config::render(&values, &[]).unwrap()
}

fn start(runtime: &Runtime, home: &Home) -> (Node, String) {
    let config = Config::load(&home.config_file(), &BTreeMap::new(), &[]).unwrap().config;
    let node = runtime.block_on(Node::start(home.clone(), &config)).unwrap();
    let source = node.status_source();
    wait("an address", || !runtime.block_on(source.status()).listening.is_empty());
    let address = runtime.block_on(source.status()).listening.remove(0);
    (node, address)
}

fn admit(engine: &Engine, member: AuthorId) {
    let admitted = MemberAdmitted { member, role: Role::Agent, name: "m".to_owned() };
    engine.append(vec![Draft::general(admitted)], clock::wall_ms()).unwrap();
}

/// A member without a network of its own.
struct Worker {
    engine: Engine,
    told: u64,
}

impl Worker {
    fn new(swarm: SwarmId, key: SecretKey) -> Self {
        let store = Arc::new(MemoryStore::new());
        let engine = Engine::open(store, key, swarm, clock::wall_ms()).unwrap();
        Self { engine, told: 0 }
    }

    fn me(&self) -> AuthorId {
        self.engine.me()
    }

    fn length(&self) -> u64 {
        self.engine.tip(&self.me()).0
    }

    /// Says it, and gives the event with its proof.
    fn say(&self, draft: Draft) -> SignedEvent {
        self.engine.append(vec![draft], clock::wall_ms()).unwrap();
        self.engine.signed_event(&self.me(), self.length() - 1).unwrap().unwrap()
    }

    /// Hands over what another does not have yet.
    fn tell(&mut self, other: &Engine) {
        let range = self.engine.range(self.me(), self.told, usize::MAX).unwrap().unwrap();
        self.told = other.ingest(range, clock::wall_ms()).unwrap();
    }
}

/// A stranger who knows the swarm's id and is connected to one node.
struct Stranger {
    handle: Handle,
    heard: Arc<Mutex<Vec<(String, Event)>>>,
    answers: Arc<AtomicU64>,
    probes: AtomicU64,
}

impl Stranger {
    fn new(runtime: &Runtime, seed: u8, swarm: SwarmId, to: &str) -> Self {
        let config = net::Config {
            secret: [seed; 32].into(),
            swarm: swarm.0,
            listen: vec!["/ip4/127.0.0.1/tcp/0".parse().unwrap()],
            peers: vec![to.parse().unwrap()],
            mdns: false,
            limits: net::Limits::default(),
        };
        let (handle, mut events) = runtime.block_on(net::start(config)).unwrap();
        let (heard, answers) = (Arc::default(), Arc::default());
        let stranger = Self { handle, heard, answers, probes: AtomicU64::new(0) };
        let (handle, heard) = (stranger.handle.clone(), Arc::clone(&stranger.heard));
        let answers = Arc::clone(&stranger.answers);
        runtime.spawn(async move {
            while let Some(event) = events.recv().await {
                match event {
                    net::Event::Gossip { topic, bytes, ticket, .. } => {
                        let signed = SignedEvent::from_bytes(&bytes).unwrap();
                        heard.lock().unwrap().push((topic, signed.verify(&swarm).unwrap()));
                        handle.verdict(ticket, Verdict::Ignore).await.unwrap();
                    }
                    net::Event::Response { result, .. } => {
                        result.unwrap();
                        answers.fetch_add(1, Ordering::SeqCst);
                    }
                    _ => {}
                }
            }
        });
        stranger
    }

    fn publish(&self, runtime: &Runtime, topic: &str, bytes: Vec<u8>) {
        runtime.block_on(self.handle.publish(topic, bytes)).unwrap();
    }

    /// Whether the node listens to a topic. What it is told is of nobody's log.
    fn is_heard(&self, runtime: &Runtime, topic: &str, like: &SignedEvent) -> bool {
        let probe = self.probes.fetch_add(1, Ordering::SeqCst);
        let mut bytes = like.to_bytes();
        let author = bytes.len() - 176 + 32..bytes.len() - 176 + 64;
        bytes[author].copy_from_slice(blake3::hash(&probe.to_le_bytes()).as_bytes());
        let unsent = || self.handle.stats().gossip_unsent;
        let before = unsent();
        self.publish(runtime, topic, bytes);
        // The publication was before this question in the queue.
        runtime.block_on(self.handle.peers()).unwrap();
        unsent() == before
    }

    /// On which topics it heard of an event.
    fn topics_of(&self, author: AuthorId, seq: u64) -> Vec<String> {
        let heard = self.heard.lock().unwrap();
        let of =
            heard.iter().filter(|(_, event)| (event.author, event.header.seq) == (author, seq));
        of.map(|(topic, _)| topic.clone()).collect()
    }

    /// Asks the node something and waits for the answer.
    fn round_trip(&self, runtime: &Runtime, node: AuthorId) {
        let before = self.answers.load(Ordering::SeqCst);
        let asked = vec![1, 2];
        runtime.block_on(self.handle.request(PeerKey(node.0), before, asked)).unwrap();
        wait("an answer", || self.answers.load(Ordering::SeqCst) > before);
    }
}

struct Place {
    runtime: Runtime,
    alpha: Node,
    beta: Node,
    worker: Worker,
    near_alpha: Stranger,
    near_beta: Stranger,
}

impl Place {
    fn new(dir: &Path) -> Self {
        let runtime = Runtime::new().unwrap();
        let first = Home::at(&dir.join("alpha"));
        let (_, swarm) = first.found("test", &config(&[])).unwrap();
        let (alpha, address) = start(&runtime, &first);
        let second = Home::at(&dir.join("beta"));
        let key = second.join(swarm, &config(std::slice::from_ref(&address))).unwrap();
        admit(alpha.engine(), key);
        let (beta, its_address) = start(&runtime, &second);
        let mut worker = Worker::new(swarm, SecretKey::from_seed(&[9; 32]));
        admit(alpha.engine(), worker.me());
        worker.say(Draft::about(task(), seen()));
        worker.tell(alpha.engine());
        let near_alpha = Stranger::new(&runtime, 21, swarm, &address);
        let near_beta = Stranger::new(&runtime, 22, swarm, &its_address);
        let place = Self { runtime, alpha, beta, worker, near_alpha, near_beta };
        place.agree();
        place
    }

    fn agree(&self) {
        wait("one digest", || self.alpha.engine().digest() == self.beta.engine().digest());
    }

    /// The first node says something of the work, and the index of that.
    fn work(&self) -> u64 {
        let engine = self.alpha.engine();
        let done = WorkDone { epoch: 1, summary: "so far".to_owned() };
        engine.append(vec![Draft::about(task(), done)], clock::wall_ms()).unwrap();
        engine.tip(&engine.me()).0 - 1
    }

    fn stop(self) {
        for node in [self.alpha, self.beta] {
            self.runtime.block_on(node.stop());
        }
    }
}

fn task() -> TaskId {
    TaskId::of("r", 1)
}

fn seen() -> Payload {
    let (repository, title, body) = ("r".to_owned(), "t".to_owned(), String::new());
    let (labels, depends_on) = (Vec::new(), Vec::new());
    TaskSeen { repository, issue: 1, title, body, labels, depends_on, open: true }.into()
}

#[test]
fn a_tasks_topic_is_heard_while_it_is_owned_and_what_gossip_loses_comes_by_catch_up() {
    let dir = tempfile::tempdir().unwrap();
    let mut place = Place::new(dir.path());
    let topics = [Topic::Coordination, Topic::MetaDiscussion, Topic::Task(task())];
    let [coordination, _, of_task] = topics.map(|topic| topic.to_string());
    for stranger in [&place.near_alpha, &place.near_beta] {
        for topic in topics {
            place.runtime.block_on(stranger.handle.subscribe(&topic.to_string())).unwrap();
        }
    }
    let like = place.worker.engine.signed_event(&place.worker.me(), 0).unwrap().unwrap();
    wait("the topics of all", || {
        place.near_alpha.is_heard(&place.runtime, &coordination, &like)
            && place.near_beta.is_heard(&place.runtime, &coordination, &like)
    });

    // Nobody owns the task: its topic is told by who has something to say, and heard by no node.
    assert!(!place.near_beta.is_heard(&place.runtime, &of_task, &like));
    let alpha = place.alpha.engine().me();
    // A hint may get lost before alpha knows who listens: another one is given then.
    let mut seq = place.work();
    let mut since = Instant::now();
    wait("the task's topic", || {
        if since.elapsed() > Duration::from_secs(3) {
            (seq, since) = (place.work(), Instant::now());
        }
        !place.near_alpha.topics_of(alpha, seq).is_empty()
    });
    assert_eq!(place.near_alpha.topics_of(alpha, seq), [of_task.as_str()]);
    wait("catch-up", || place.beta.engine().tip(&alpha).0 > seq);
    assert!(
        !place.near_beta.is_heard(&place.runtime, &of_task, &like),
        "beta did not hear of it by gossip"
    );
    assert_eq!(place.near_beta.topics_of(alpha, seq), Vec::<String>::new());

    // Somebody owns it: what is said of the work goes through those who listen.
    let intended = ClaimIntended { epoch: 1, lease_ms: 60_000, process: 1, previous: None };
    place.worker.say(Draft::about(task(), intended));
    let intent = place.worker.engine.task_events(task()).unwrap().last().unwrap().id;
    let won = ClaimWon { intent, epoch: 1, commit: "a".repeat(40).parse().unwrap() };
    place.worker.say(Draft::about(task(), won));
    place.worker.tell(place.alpha.engine());
    place.agree();
    wait("both nodes to listen", || {
        place.near_alpha.is_heard(&place.runtime, &of_task, &like)
            && place.near_beta.is_heard(&place.runtime, &of_task, &like)
    });
    let mut said = Vec::new();
    wait("gossip through a node", || {
        said.push(place.work());
        said.iter().any(|seq| !place.near_beta.topics_of(alpha, *seq).is_empty())
    });
    let heard = said.iter().flat_map(|seq| place.near_beta.topics_of(alpha, *seq));
    assert!(heard.into_iter().all(|topic| topic == of_task));

    // It is over: the nodes leave, also those that came to know of it by another's log.
    let finished = TaskFinished { epoch: 1, outcome: "released".to_owned() };
    place.worker.say(Draft::about(task(), finished));
    place.worker.tell(place.alpha.engine());
    wait("both nodes to leave", || {
        !place.near_alpha.is_heard(&place.runtime, &of_task, &like)
            && !place.near_beta.is_heard(&place.runtime, &of_task, &like)
    });
    place.agree();
    place.stop();
}

#[test]
fn who_floods_a_topic_loses_its_score_and_nothing_else_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let place = Place::new(dir.path());
    let coordination = Topic::Coordination.to_string();
    let meta = Topic::MetaDiscussion.to_string();
    let (author, beta) = (place.worker.me(), place.beta.engine().me());
    let held = |node: &Node| node.engine().tip(&author).0;
    let like = place.worker.engine.signed_event(&author, 0).unwrap().unwrap();
    wait("the topics of all", || {
        place.near_alpha.is_heard(&place.runtime, &coordination, &like)
            && place.near_beta.is_heard(&place.runtime, &coordination, &like)
    });

    // Gossip is taken in whoever passes it on.
    let first = place.worker.say(Draft::about(task(), seen()));
    place.near_beta.publish(&place.runtime, &coordination, first.to_bytes());
    wait("gossip from a stranger", || held(&place.beta) == 2);

    for n in 0..500u64 {
        let junk = [b"junk ".as_slice(), &n.to_le_bytes()].concat();
        place.near_beta.publish(&place.runtime, &meta, junk);
    }
    place.near_beta.round_trip(&place.runtime, beta);
    let second = place.worker.say(Draft::about(task(), seen()));
    for topic in [&coordination, &meta] {
        place.near_beta.publish(&place.runtime, topic, second.to_bytes());
    }
    // It is still connected and answered, and not listened to; the others are.
    for _ in 0..20 {
        place.near_beta.round_trip(&place.runtime, beta);
    }
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(held(&place.beta), 2, "gossip of who flooded was taken in");
    let seq = place.work();
    let alpha = place.alpha.engine().me();
    wait("the other node", || place.beta.engine().tip(&alpha).0 > seq);
    place.near_alpha.publish(&place.runtime, &coordination, second.to_bytes());
    wait("gossip of others", || held(&place.alpha) == 3 && held(&place.beta) == 3);
    place.near_beta.round_trip(&place.runtime, beta);
    place.agree();
    place.stop();
}
