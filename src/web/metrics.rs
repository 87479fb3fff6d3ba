//! The metrics, as Prometheus reads them.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use super::Site;
use crate::kernel::fold::SwarmState;

/// The format's own name.
const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(super) async fn metrics(State(site): State<Arc<Site>>) -> Response {
    let status = (site.shared.status)().await;
    let mut out = Out(String::new());
    node(&mut out, &status);
    site.shared.engine.read(|state| swarm(&mut out, state));
    let requests = site.requests.load(Ordering::Relaxed);
    let refused = site.refused.load(Ordering::Relaxed);
    out.head("bzzz_api_requests_total", "counter", "Requests to the page and the interface.");
    out.value("bzzz_api_requests_total", &[], requests);
    out.head("bzzz_api_refused_total", "counter", "Requests refused for host, origin or token.");
    out.value("bzzz_api_refused_total", &[], refused);
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], out.0).into_response()
}

fn node(out: &mut Out, status: &Value) {
    let text = |key: &str| status.get(key).and_then(Value::as_str).unwrap_or("");
    let number = |value: &Value, key: &str| value.get(key).and_then(Value::as_u64).unwrap_or(0);
    let none = Vec::new();
    let list = |key: &str| status.get(key).and_then(Value::as_array).unwrap_or(&none);
    out.head("bzzz_info", "gauge", "The node.");
    let about = [("node", text("node")), ("name", text("name")), ("version", text("version"))];
    out.value("bzzz_info", &about, 1);
    out.head("bzzz_peers", "gauge", "Connected peers.");
    out.value("bzzz_peers", &[], list("peers").len() as u64);
    out.head("bzzz_log_events", "gauge", "Events that this node holds of a log.");
    for log in list("logs") {
        let author = log.get("author").and_then(Value::as_str).unwrap_or("");
        out.value("bzzz_log_events", &[("author", author)], number(log, "length"));
    }
    out.head("bzzz_log_behind_events", "gauge", "Events of a log that peers have beyond that.");
    for log in list("logs") {
        let author = log.get("author").and_then(Value::as_str).unwrap_or("");
        out.value("bzzz_log_behind_events", &[("author", author)], number(log, "behind"));
    }
    out.head("bzzz_held_events", "gauge", "Events held back until their time comes.");
    out.value("bzzz_held_events", &[], number(status, "held"));
}

fn swarm(out: &mut Out, state: &SwarmState) {
    let mut tasks: BTreeMap<&str, u64> = BTreeMap::new();
    for status in ["open", "claimed", "published", "escalated", "closed"] {
        tasks.insert(status, 0);
    }
    let mut refused = state.members.refusals.count + state.repository_refusals.count;
    for task in state.tasks.values() {
        *tasks.entry(task.status().name()).or_insert(0) += 1;
        refused += task.refusals.count;
    }
    out.head("bzzz_tasks", "gauge", "Tasks by status.");
    for (status, count) in tasks {
        out.value("bzzz_tasks", &[("status", status)], count);
    }
    out.head("bzzz_members", "gauge", "Members of the swarm.");
    out.value("bzzz_members", &[], state.members.present().len() as u64);
    out.head("bzzz_refused_events", "gauge", "Events that changed nothing.");
    out.value("bzzz_refused_events", &[], refused);
}

struct Out(String);

impl Out {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}").expect("a string takes all");
    }

    fn value(&mut self, name: &str, labels: &[(&str, &str)], value: u64) {
        self.0.push_str(name);
        for (at, (label, text)) in labels.iter().enumerate() {
            self.0.push(if at == 0 { '{' } else { ',' });
            write!(self.0, "{label}=\"{}\"", escaped(text)).expect("a string takes all");
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        writeln!(self.0, " {value}").expect("a string takes all");
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_cannot_end_its_line() {
        let mut out = Out(String::new());
        out.value("a", &[("x", "q\"\\\n"), ("y", "")], 3);
        out.value("b", &[], 0);
        assert_eq!(out.0, "a{x=\"q\\\"\\\\\\n\",y=\"\"} 3\nb 0\n");
    }
}
