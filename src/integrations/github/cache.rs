//! Answers that were read already, by path: asked for again with their ETag, they cost nothing of
//! the rate limit if they did not change.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::wire::Answer;

/// How much is kept, in bytes of the answers, and how many answers.
const MAX_BYTES: usize = 32 << 20;
const MAX_ANSWERS: usize = 2_000;

#[derive(Debug, Default)]
pub(super) struct Cache {
    answers: BTreeMap<String, (u64, Arc<Answer>)>,
    bytes: usize,
    clock: u64,
}

impl Cache {
    pub(super) fn get(&mut self, path: &str) -> Option<Arc<Answer>> {
        self.clock += 1;
        let (used, answer) = self.answers.get_mut(path)?;
        *used = self.clock;
        Some(Arc::clone(answer))
    }

    /// Keeps an answer that has an ETag, and drops those that were not asked for the longest.
    pub(super) fn put(&mut self, path: &str, answer: &Arc<Answer>) {
        self.remove(path);
        if answer.etag.is_none() || size(path, answer) > MAX_BYTES / 4 {
            return;
        }
        self.clock += 1;
        self.bytes += size(path, answer);
        self.answers.insert(path.to_owned(), (self.clock, Arc::clone(answer)));
        while self.bytes > MAX_BYTES || self.answers.len() > MAX_ANSWERS {
            let oldest = self.answers.iter().min_by_key(|(_, (used, _))| *used);
            let Some(oldest) = oldest.map(|(path, _)| path.clone()) else { break };
            self.remove(&oldest);
        }
    }

    fn remove(&mut self, path: &str) {
        if let Some((_, answer)) = self.answers.remove(path) {
            self.bytes -= size(path, &answer);
        }
    }
}

fn size(path: &str, answer: &Answer) -> usize {
    path.len() + answer.body.len() + 256
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(bytes: usize) -> Arc<Answer> {
        Arc::new(Answer {
            status: 200,
            etag: Some("e".to_owned()),
            next: None,
            date: None,
            scopes: None,
            body: vec![0; bytes],
        })
    }

    #[test]
    fn what_was_not_used_for_long_goes_first() {
        let mut cache = Cache::default();
        for name in ["a", "b", "c", "d"] {
            cache.put(name, &answer(7 << 20));
        }
        assert!(cache.get("a").is_some());
        cache.put("e", &answer(7 << 20));
        assert!(cache.get("b").is_none() && cache.get("a").is_some());
        cache.put("huge", &answer(9 << 20));
        assert!(cache.get("huge").is_none());
        for n in 0..2 * MAX_ANSWERS {
            cache.put(&n.to_string(), &answer(1));
        }
        assert!(cache.answers.len() <= MAX_ANSWERS && cache.bytes <= MAX_BYTES);
    }
}
