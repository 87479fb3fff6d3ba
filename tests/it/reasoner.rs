//! Reasoners against real HTTP servers on loopback that answer as model servers do, and as they
//! should not.

use std::time::Duration;

use bzzz::integrations::ollama::{
    Message, ModelAnswer, ModelRequest, ModelServer, Ollama, OpenAi, Patience, Purpose, Reasoner,
    ReasonerError, Role, Secret,
};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

/// What the server does after its last byte.
#[derive(Clone, Copy, PartialEq)]
enum Then {
    Close,
    Hang,
    Repeat,
}

/// A server for one request: it answers with these bytes. Its request comes back when it has been
/// read whole.
async fn server(answer: &str, then: Then) -> (String, oneshot::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
    let url = format!("http://{}", listener.local_addr().expect("a listener has an address"));
    let (sender, receiver) = oneshot::channel();
    let answer = answer.to_owned();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("the client connects");
        let request = request_of(&mut stream).await;
        let _ = sender.send(request);
        let (head, body) = answer.split_once("\r\n\r\n").map_or(("", ""), |parts| parts);
        if stream.write_all(format!("{head}\r\n\r\n{body}").as_bytes()).await.is_err() {
            return;
        }
        match then {
            Then::Close => {}
            Then::Hang => {
                // Until the client has gone.
                let _ = stream.read(&mut [0; 1]).await;
            }
            Then::Repeat => while stream.write_all(body.as_bytes()).await.is_ok() {},
        }
    });
    (url, receiver)
}

async fn request_of(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
            });
            if body.len() >= length.unwrap_or(0) {
                return text;
            }
        }
        let count = stream.read(&mut buffer).await.expect("the client sends its request");
        assert_ne!(count, 0, "the request is whole");
        bytes.extend_from_slice(&buffer[..count]);
    }
}

fn ok(kind: &str, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\nconnection: close\r\n\r\n{body}")
}

fn whole(status: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
}

fn model_server(url: &str) -> ModelServer {
    ModelServer {
        url: url.to_owned(),
        model: "m:1".to_owned(),
        key: Some(Secret::new("sesame".to_owned())),
        patience: Patience {
            connect: Duration::from_secs(20),
            idle: Duration::from_secs(20),
            total: Duration::from_secs(60),
        },
    }
}

fn ollama(url: &str) -> Reasoner {
    Reasoner::Ollama(Ollama::new(model_server(url)).expect("the settings are good"))
}

fn openai(url: &str) -> Reasoner {
    Reasoner::OpenAi(OpenAi::new(model_server(url)).expect("the settings are good"))
}

fn question() -> ModelRequest {
    let message = |role, content: &str| Message { role, content: content.to_owned() };
    ModelRequest {
        purpose: Purpose::Step,
        repository: "r".to_owned(),
        issue: 7,
        epoch: 1,
        turn: 0,
        messages: vec![message(Role::System, "be brief"), message(Role::User, "what now? \"ä\"")],
        schema: json!({"type": "object", "properties": {"action": {"type": "string"}}}),
        max_tokens: 99,
    }
}

async fn ollama_says(body: &str) -> Result<ModelAnswer, ReasonerError> {
    let (url, _request) = server(&ok("application/x-ndjson", body), Then::Close).await;
    ollama(&url).ask(&question()).await
}

async fn openai_says(body: &str) -> Result<ModelAnswer, ReasonerError> {
    let (url, _request) = server(&ok("text/event-stream", body), Then::Close).await;
    openai(&url).ask(&question()).await
}

fn body_of(request: &str) -> Value {
    serde_json::from_str(request.split_once("\r\n\r\n").expect("the request is JSON with a head").1)
        .expect("the request is JSON with a head")
}

const OLLAMA: &str = r#"{"model":"m:1-q4","message":{"content":"{\"a\":"},"done":false}
{"model":"m:1-q4","message":{"content":" \"ä\"}"},"done":false}
{"model":"m:1-q4","message":{"content":""},"done":true,"prompt_eval_count":26,"eval_count":8}
"#;

const OPENAI: &str = r#": a comment

data: {"model":"m-1","choices":[{"delta":{"role":"assistant","content":null},"finish_reason":null}]}

data: {"model":"m-1","choices":[{"delta":{"content":"{\"a\":"},"finish_reason":null}]}

data: {"model":"m-1","choices":[{"delta":{"content":" \"ä\"}"},"finish_reason":"stop"}]}

data: {"model":"m-1","choices":[],"usage":{"prompt_tokens":26,"completion_tokens":8}}

data: [DONE]

"#;

#[tokio::test]
async fn ollama_answers() {
    let (url, request) = server(&ok("application/x-ndjson", OLLAMA), Then::Close).await;
    let answer = ollama(&url).ask(&question()).await.unwrap();
    let expected = ModelAnswer {
        text: r#"{"a": "ä"}"#.to_owned(),
        tokens_in: Some(26),
        tokens_out: Some(8),
        model: "m:1-q4".to_owned(),
    };
    assert_eq!(answer, expected);
    let request = request.await.unwrap();
    assert!(request.starts_with("POST /api/chat HTTP/1.1\r\n"), "{request}");
    assert!(request.to_lowercase().contains("\r\nauthorization: bearer sesame\r\n"), "{request}");
    let body = body_of(&request);
    assert_eq!(body["format"], question().schema);
    assert_eq!((&body["stream"], &body["model"]), (&json!(true), &json!("m:1")));
    assert_eq!(body["options"]["num_predict"], 99);
    assert_eq!(body["messages"][1], json!({"role": "user", "content": "what now? \"ä\""}));
}

#[tokio::test]
async fn openai_answers() {
    let (url, request) = server(&ok("text/event-stream", OPENAI), Then::Close).await;
    let answer = openai(&url).ask(&question()).await.unwrap();
    assert_eq!(answer.text, r#"{"a": "ä"}"#);
    assert_eq!((answer.tokens_in, answer.tokens_out), (Some(26), Some(8)));
    assert_eq!(answer.model, "m-1");
    let request = request.await.unwrap();
    assert!(request.starts_with("POST /v1/chat/completions HTTP/1.1\r\n"), "{request}");
    let body = body_of(&request);
    assert_eq!(body["response_format"]["json_schema"]["schema"], question().schema);
    assert_eq!(body["max_tokens"], 99);

    // A base that ends with /v1, a server without [DONE] and usage, and one that doesn't stream.
    let short = "data:{\"choices\":[{\"delta\":{\"content\":\"x\"},\"finish_reason\":\"stop\"}]}\n";
    let (url, request) = server(&ok("text/event-stream", short), Then::Close).await;
    let answer = openai(&format!("{url}/proxy/v1")).ask(&question()).await.unwrap();
    assert_eq!((answer.text.as_str(), answer.tokens_out), ("x", None));
    assert_eq!(answer.model, "m:1");
    let request = request.await.unwrap();
    assert!(request.starts_with("POST /proxy/v1/chat/completions "), "{request}");
    let plain = r#"{"choices":[{"message":{"content":"y"}}],"usage":{"prompt_tokens":1}}"#;
    let (url, _request) = server(&ok("application/json", plain), Then::Close).await;
    let answer = openai(&url).ask(&question()).await.unwrap();
    assert_eq!((answer.text.as_str(), answer.tokens_in), ("y", Some(1)));
}

#[tokio::test]
async fn statuses_are_told_apart() {
    let long = "x".repeat(1000);
    for (status, transient) in [
        ("500 Internal Server Error", true),
        ("429 Too Many Requests", true),
        ("404 Not Found", false),
        ("400 Bad Request", false),
    ] {
        let (url, _request) = server(&whole(status, &long), Then::Close).await;
        let error = ollama(&url).ask(&question()).await.unwrap_err();
        let ReasonerError::Status { code, text } = &error else { panic!("{error}") };
        assert_eq!((code.to_string().as_str(), text.as_str()), (&status[..3], &long[..200]));
        assert_eq!(error.is_transient(), transient, "{status}");
    }
    // Nothing is sent to where a server points.
    let (other, request) = server(&whole("200 OK", ""), Then::Close).await;
    let moved = format!(
        "HTTP/1.1 307 Temporary Redirect\r\nlocation: {other}/api/chat\r\n\
         content-length: 0\r\nconnection: close\r\n\r\n"
    );
    let (url, _request) = server(&moved, Then::Close).await;
    let error = ollama(&url).ask(&question()).await.unwrap_err();
    assert!(matches!(error, ReasonerError::Status { code: 307, .. }), "{error}");
    assert!(!error.is_transient());
    drop(error);
    let mut request = request;
    assert!(request.try_recv().is_err());
}

#[tokio::test]
async fn garbage_is_named() {
    for (body, part) in [
        ("<html>", "at line 1: expected value"),
        ("{\"message\":{\"content\":\"x\"}}\n[1]\n", "at line 2: it has no message"),
        ("{\"done\":false}\n", "it has no message with content"),
    ] {
        let error = ollama_says(body).await.unwrap_err();
        assert!(matches!(error, ReasonerError::Malformed { .. }), "{error}");
        assert!(error.to_string().contains(part), "{error}");
        assert!(!error.is_transient());
    }
    for (body, part) in [("data: {", "EOF"), ("<html>\n", "it is no server-sent event")] {
        let error = openai_says(body).await.unwrap_err();
        assert!(matches!(error, ReasonerError::Malformed { .. }), "{error}");
        assert!(error.to_string().contains(part), "{error}");
    }
    let error = ollama_says("{\"error\":\"out of memory\"}\n").await.unwrap_err();
    assert_eq!(error.to_string(), "the model server reports: out of memory");
    let error = openai_says("data: {\"error\":{\"message\":\"no\"}}\n").await.unwrap_err();
    assert_eq!(error, ReasonerError::Reported("no".to_owned()));
    let empty = "{\"message\":{\"content\":\" \"},\"done\":true}\n";
    assert_eq!(ollama_says(empty).await.unwrap_err(), ReasonerError::Empty);
    assert_eq!(openai_says("data: [DONE]\n").await.unwrap_err(), ReasonerError::Empty);
}

#[tokio::test]
async fn a_connection_that_ends_early_is_no_answer() {
    let (half, _) = OLLAMA.rsplit_once("{\"model\"").unwrap();
    let error = ollama_says(half).await.unwrap_err();
    assert!(matches!(error, ReasonerError::Interrupted(_)), "{error}");
    assert!(error.is_transient());
    let (half, _) = OPENAI.split_once("data: [DONE]").unwrap();
    let half = half.replace("\"stop\"", "null");
    let error = openai_says(&half).await.unwrap_err();
    assert!(matches!(error, ReasonerError::Interrupted(_)), "{error}");
    // Less than the announced length, and nothing at all.
    let cut = "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{\"message\"";
    let (url, _request) = server(cut, Then::Close).await;
    let error = ollama(&url).ask(&question()).await.unwrap_err();
    assert!(matches!(error, ReasonerError::Interrupted(_)), "{error}");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = ollama(&url).ask(&question()).await.unwrap_err();
    assert!(matches!(error, ReasonerError::Unreachable { .. }), "{error}");
    assert!(error.is_transient() && error.to_string().contains(&url), "{error}");
}

#[tokio::test]
async fn silence_and_endless_talk_are_cut() {
    let hurried = |url: &str, idle, total| {
        let mut server = model_server(url);
        server.patience.idle = Duration::from_millis(idle);
        server.patience.total = Duration::from_millis(total);
        Reasoner::Ollama(Ollama::new(server).unwrap())
    };
    let part = "{\"message\":{\"content\":\"abcdefgh\"},\"done\":false}\n";
    // Silent at once; silent in the middle; never silent, and never at its end.
    let (url, _request) = server("", Then::Hang).await;
    let error = hurried(&url, 200, 60_000).ask(&question()).await.unwrap_err();
    assert!(matches!(error, ReasonerError::TimedOut(_)), "{error}");
    let (url, _request) = server(&ok("application/x-ndjson", part), Then::Hang).await;
    let error = hurried(&url, 1000, 60_000).ask(&question()).await.unwrap_err();
    assert!(matches!(error, ReasonerError::TimedOut(_)), "{error}");
    let thinking = "{\"message\":{\"content\":\"\"},\"done\":false}\n";
    let (url, _request) = server(&ok("application/x-ndjson", thinking), Then::Repeat).await;
    let error = hurried(&url, 20_000, 60_000).ask(&question()).await.unwrap_err();
    let transfer = ReasonerError::TooLong { limit: 32 << 20, of: "transfer" };
    assert!(error == transfer || matches!(error, ReasonerError::TimedOut(_)), "{error}");
    let (url, _request) = server(&ok("application/x-ndjson", part), Then::Repeat).await;
    let error = ollama(&url).ask(&question()).await.unwrap_err();
    assert_eq!(error, ReasonerError::TooLong { limit: 65_536, of: "text" });
    let (url, _request) = server(&ok("application/x-ndjson", "no end of line"), Then::Repeat).await;
    let error = ollama(&url).ask(&question()).await.unwrap_err();
    assert_eq!(error, ReasonerError::TooLong { limit: 524_288, of: "a line" });
}

#[tokio::test]
async fn a_dropped_question_ends_its_request() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let reasoner = ollama(&format!("http://{}", listener.local_addr().unwrap()));
    let request = question();
    let asking = reasoner.ask(&request);
    let serving = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        request_of(&mut stream).await;
        stream
    };
    let mut stream = tokio::select! {
        answer = asking => panic!("{answer:?}"),
        stream = serving => stream,
    };
    // The server sees the end of the connection.
    assert_eq!(stream.read(&mut [0; 16]).await.unwrap_or(0), 0);
}

#[tokio::test]
async fn servers_are_checked_for_the_model() {
    let tags = whole("200 OK", r#"{"models":[{"name":"other:latest"},{"name":"m:1"}]}"#);
    let (url, request) = server(&tags, Then::Close).await;
    let said = ollama(&url).check(&["other"]).await.unwrap();
    assert_eq!(said, format!("Ollama at {url}/, model m:1\n  other:latest\n  m:1"));
    assert!(request.await.unwrap().starts_with("GET /api/tags "));
    let models = whole("200 OK", r#"{"data":[{"id":"other"}]}"#);
    let (url, request) = server(&models, Then::Close).await;
    let error = openai(&url).check(&[]).await.unwrap_err();
    let expected = format!("the model server at {url}/ has no model m:1; it has other");
    assert_eq!(error.to_string(), expected);
    assert!(request.await.unwrap().starts_with("GET /v1/models "));
}

#[test]
fn settings_are_checked_and_keys_are_not_shown() {
    for (url, part) in [
        ("localhost:1", "is not http:// or https://"),
        ("ftp://localhost", "is not http:// or https://"),
        ("", "relative URL"),
        ("http://u:p@localhost", "set a key instead"),
        ("http://localhost/?a=b", "ends with a ? or # part"),
    ] {
        let error = Ollama::new(model_server(url)).unwrap_err().to_string();
        assert!(error.contains(part), "{url}: {error}");
    }
    let server = model_server("http://127.0.0.1:1");
    let shown = format!("{server:?} {:?}", openai("http://127.0.0.1:1"));
    assert!(!shown.contains("sesame") && shown.contains("Secret(..)"), "{shown}");
}
