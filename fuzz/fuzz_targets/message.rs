//! Sync messages: what reads is written as the same bytes, as a request or as a response, never as
//! both.

#![no_main]

use bzzz::kernel::log::MAX_LENGTH;
use bzzz::kernel::sync::{
    Frontier, MAX_FETCH_BYTES, MAX_FRONTIER_LOGS, MAX_ROTATION_BYTES, MAX_ROTATIONS, Request,
    Response,
};
use libfuzzer_sys::fuzz_target;

fn check(frontier: &Frontier) {
    assert!(frontier.logs.len() <= MAX_FRONTIER_LOGS);
    assert!(frontier.logs.is_sorted_by(|a, b| a.author < b.author));
    assert!(frontier.logs.iter().all(|held| (1..=MAX_LENGTH).contains(&held.length)));
}

fuzz_target!(|bytes: &[u8]| {
    let request = Request::from_bytes(bytes);
    let response = Response::from_bytes(bytes);
    assert!(request.is_err() || response.is_err());
    if let Ok(request) = request {
        assert_eq!(request.to_bytes(), bytes);
        match &request {
            Request::Frontier(frontier) => check(frontier),
            Request::Fetch { from, max_bytes, .. } => {
                assert!(*from < MAX_LENGTH && (1..=MAX_FETCH_BYTES).contains(max_bytes));
            }
            Request::Prove { index, .. } => assert!(*index < MAX_LENGTH),
            Request::Introduce { rotations } => {
                assert!((1..=MAX_ROTATIONS).contains(&rotations.len()));
                assert!(rotations.iter().all(|bytes| bytes.len() <= MAX_ROTATION_BYTES));
            }
        }
    }
    if let Ok(response) = response {
        assert_eq!(response.to_bytes(), bytes);
        match &response {
            Response::Frontier(frontier) => check(frontier),
            Response::Nothing { length } => assert!(*length <= MAX_LENGTH),
            Response::Range(range) => assert!(range.heads.len() <= range.records.len()),
            Response::Refused(_) | Response::Proof(_) => {}
        }
    }
});
