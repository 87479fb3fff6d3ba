//! What the refs of the remote are, and what the claims that they point at say.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr as _;

use super::claims::{MAX_CLAIM_BYTES, MAX_CLAIMS};
use super::mirror::{Keep, Mirror, garbled};
use super::run::{Call, Feed, Sink};
use super::{ClaimRef, CommitId, GitError};

/// The refs that hold claims, before the issue's number.
pub(super) const CLAIMS: &str = "refs/bzzz/claims/";

/// The most that git may list of refs, in bytes: a hundred for each of [`MAX_CLAIMS`].
const MAX_REFS_BYTES: u64 = 100 * MAX_CLAIMS as u64;

/// The largest commit object that is read as a claim's, in bytes.
const MAX_COMMIT_BYTES: u64 = 128 << 10;

/// How often a listing is repeated when the refs move while their commits are fetched.
const LISTINGS: usize = 4;

/// A task's claim ref. One fixed name per task: no agent's name and no slug in it.
pub(super) fn claim_ref(issue: u64) -> String {
    format!("{CLAIMS}{issue}")
}

/// The first commit id in an answer of git.
pub(super) fn first_id(answer: &[u8]) -> Option<CommitId> {
    let text = std::str::from_utf8(answer).ok()?;
    CommitId::from_str(text.split_whitespace().next()?).ok()
}

impl Mirror {
    /// What the remote's refs of these names (or patterns) point at.
    pub(super) async fn list_refs(
        &self,
        operation: &'static str,
        patterns: &[&str],
    ) -> Result<BTreeMap<String, CommitId>, GitError> {
        let mut args = vec!["ls-remote", "--refs", "--quiet", "r"];
        args.extend(patterns);
        let call = Call::new(args, self.limits.exchange)
            .remote(&self.remote)
            .sink(Sink::Memory(MAX_REFS_BYTES));
        let listed = self.runner.run(call).await;
        let listed = listed.map_err(|fault| self.remote_fault(operation, fault))?;
        let mut refs = BTreeMap::new();
        for line in String::from_utf8_lossy(&listed).lines() {
            let parsed = line
                .split_once('\t')
                .and_then(|(id, name)| Some((name.to_owned(), CommitId::from_str(id).ok()?)));
            let (name, id) = parsed.ok_or_else(|| garbled(operation, "an unexpected listing"))?;
            refs.insert(name, id);
        }
        Ok(refs)
    }

    /// The claims that the remote's refs hold at one moment.
    ///
    /// # Errors
    /// What the remote answered; [`GitError::TooLarge`] for more than [`MAX_CLAIMS`].
    pub async fn read_claims(&self) -> Result<Vec<ClaimRef>, GitError> {
        self.claims_of(&format!("{CLAIMS}*"), None).await
    }

    /// The claim of one task, if it has one.
    ///
    /// # Errors
    /// What the remote answered.
    pub async fn read_claim(&self, issue: u64) -> Result<Option<ClaimRef>, GitError> {
        Ok(self.claims_of(&claim_ref(issue), None).await?.pop())
    }

    /// The claim of one task, where its ref was listed already.
    pub(super) async fn read_listed_claim(
        &self,
        issue: u64,
        listed: BTreeMap<String, CommitId>,
    ) -> Result<Option<ClaimRef>, GitError> {
        let reference = claim_ref(issue);
        let listed = listed.into_iter().filter(|(name, _)| *name == reference).collect();
        Ok(self.claims_of(&reference, Some(listed)).await?.pop())
    }

    async fn claims_of(
        &self,
        pattern: &str,
        mut listed: Option<BTreeMap<String, CommitId>>,
    ) -> Result<Vec<ClaimRef>, GitError> {
        const OPERATION: &str = "read the claims";
        for listing in 1.. {
            let refs = match listed.take() {
                Some(refs) => refs,
                None => self.list_refs(OPERATION, &[pattern]).await?,
            };
            let claims: Vec<(u64, CommitId)> = refs
                .into_iter()
                .filter_map(|(name, id)| Some((claimed_issue(&name)?, id)))
                .collect();
            if claims.len() > MAX_CLAIMS {
                let what = "the number of claims".to_owned();
                let limit = MAX_CLAIMS as u64;
                return Err(GitError::TooLarge { operation: OPERATION, what, limit });
            }
            let absent = self.absent(&claims).await?;
            let unusable = match self.bring(&absent).await {
                Ok(unusable) => unusable,
                // The ref went away between the listing and the fetch.
                Err(GitError::Missing { .. }) if listing < LISTINGS => continue,
                Err(error) => return Err(error),
            };
            let mut awaited = if absent.is_empty() { absent } else { self.absent(&claims).await? };
            awaited.retain(|issue| !unusable.contains(issue));
            if awaited.is_empty() || listing >= LISTINGS {
                return self.read_listed(&claims).await;
            }
        }
        unreachable!("the loop returns at the last listing")
    }

    /// The issues whose listed commits the mirror doesn't hold.
    async fn absent(&self, claims: &[(u64, CommitId)]) -> Result<Vec<u64>, GitError> {
        let ids: Vec<String> = claims.iter().map(|(_, id)| id.to_string()).collect();
        let sizes = self.sizes(&ids).await?;
        let absent = claims.iter().zip(sizes).filter(|(_, size)| size.is_none());
        Ok(absent.map(|((issue, _), _)| *issue).collect())
    }

    /// Fetches what the claim refs of these issues hold now; the issues whose refs hold more than a
    /// claim can be. Those don't hide the others: if refs can't come together, each comes alone.
    async fn bring(&self, issues: &[u64]) -> Result<BTreeSet<u64>, GitError> {
        const OPERATION: &str = "fetch claims";
        let spec = |issue: &u64| format!("+{}:refs/mirror/claims/{issue}", claim_ref(*issue));
        let mut unusable = BTreeSet::new();
        let _alone = self.fetching.lock().await;
        for batch in issues.chunks(500) {
            let specs: Vec<String> = batch.iter().map(spec).collect();
            match self.fetch(OPERATION, &specs, Keep::Objects).await {
                Err(GitError::TooLarge { .. }) => {}
                done => {
                    done?;
                    continue;
                }
            }
            for (issue, spec) in batch.iter().zip(specs) {
                match self.fetch(OPERATION, &[spec], Keep::Objects).await {
                    Err(GitError::TooLarge { .. }) => drop(unusable.insert(*issue)),
                    done => done?,
                }
            }
        }
        Ok(unusable)
    }

    async fn read_listed(&self, claims: &[(u64, CommitId)]) -> Result<Vec<ClaimRef>, GitError> {
        let mut names = Vec::with_capacity(claims.len() * 2);
        for (_, id) in claims {
            names.extend([format!("{id}^{{commit}}"), format!("{id}:claim")]);
        }
        let limits = [MAX_COMMIT_BYTES, MAX_CLAIM_BYTES as u64].into_iter().cycle();
        let sizes = self.sizes(&names).await?.into_iter().zip(limits);
        let usable: Vec<bool> =
            sizes.map(|(size, limit)| size.is_some_and(|size| size <= limit)).collect();
        let wanted = names.iter().zip(&usable).filter(|(_, usable)| **usable);
        let mut contents = self.contents(wanted.map(|(name, _)| name.as_str())).await?.into_iter();
        let mut found = Vec::with_capacity(claims.len());
        for ((issue, id), usable) in claims.iter().zip(usable.chunks(2)) {
            let mut next = |usable: bool| usable.then(|| contents.next()).flatten();
            let (commit, claim) = (next(usable[0]), next(usable[1]));
            found.push(ClaimRef {
                issue: *issue,
                commit: id.clone(),
                parent: commit.as_deref().and_then(parent),
                claim: claim.unwrap_or_default(),
            });
        }
        found.sort_by_key(|claim| claim.issue);
        Ok(found)
    }

    /// The sizes of objects in bytes, none for one that the mirror doesn't hold.
    async fn sizes(&self, names: &[String]) -> Result<Vec<Option<u64>>, GitError> {
        const OPERATION: &str = "look objects up";
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let call = Call::new(["cat-file", "--batch-check=%(objectsize)"], self.limits.local)
            .feed(Feed::Bytes(lines(names.iter().map(String::as_str))))
            .sink(Sink::Memory(MAX_REFS_BYTES * 4));
        let answer = self.local(OPERATION, call).await?;
        let answer = String::from_utf8_lossy(&answer);
        let sizes: Vec<Option<u64>> = answer.lines().map(|line| line.parse().ok()).collect();
        match sizes.len() == names.len() {
            true => Ok(sizes),
            false => Err(garbled(OPERATION, "git answered for fewer objects than were asked for")),
        }
    }

    /// The contents of objects that the mirror holds and whose sizes were checked.
    async fn contents<'a>(
        &self,
        names: impl Iterator<Item = &'a str>,
    ) -> Result<Vec<Vec<u8>>, GitError> {
        const OPERATION: &str = "read objects";
        let names = lines(names);
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let each = MAX_COMMIT_BYTES + MAX_CLAIM_BYTES as u64;
        let call = Call::new(["cat-file", "--batch=%(objectsize)"], self.limits.local)
            .feed(Feed::Bytes(names))
            .sink(Sink::Memory(each.saturating_mul(MAX_CLAIMS as u64)));
        let answer = self.local(OPERATION, call).await?;
        split_batch(&answer).ok_or_else(|| garbled(OPERATION, "an unexpected answer"))
    }
}

/// The issue of a claim ref: a number in its one decimal form.
fn claimed_issue(name: &str) -> Option<u64> {
    let digits = name.strip_prefix(CLAIMS)?;
    let issue: u64 = digits.parse().ok()?;
    (issue.to_string() == digits).then_some(issue)
}

/// The first parent that a commit object names.
fn parent(commit: &[u8]) -> Option<CommitId> {
    let mut lines = commit.split(|byte| *byte == b'\n').take_while(|line| !line.is_empty());
    let line = lines.find_map(|line| line.strip_prefix(b"parent "))?;
    CommitId::from_str(std::str::from_utf8(line).ok()?).ok()
}

fn lines<'a>(names: impl Iterator<Item = &'a str>) -> Vec<u8> {
    names.flat_map(|name| [name.as_bytes(), b"\n"].concat()).collect()
}

/// Splits what `cat-file --batch=%(objectsize)` answers.
fn split_batch(mut answer: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut contents = Vec::new();
    while !answer.is_empty() {
        let end = answer.iter().position(|byte| *byte == b'\n')?;
        let size: usize = std::str::from_utf8(&answer[..end]).ok()?.parse().ok()?;
        let start = end + 1;
        let content = answer.get(start..start.checked_add(size)?)?;
        contents.push(content.to_vec());
        answer = answer.get(start + size + 1..)?;
    }
    Some(contents)
}

#[cfg(test)]
mod tests {
    use super::{claimed_issue, parent, split_batch};

    #[test]
    fn only_the_one_form_of_a_number_names_a_claim() {
        assert_eq!(claimed_issue("refs/bzzz/claims/17"), Some(17));
        for name in ["refs/bzzz/claims/017", "refs/bzzz/claims/+1", "refs/bzzz/claims/1/x", "x/1"] {
            assert_eq!(claimed_issue(name), None, "{name}");
        }
    }

    #[test]
    fn a_parent_is_read_from_the_header_alone() {
        let id = "a".repeat(40);
        let commit = format!("tree {id}\nparent {id}\nauthor x\n\nparent no\n");
        assert_eq!(parent(commit.as_bytes()).unwrap().as_str(), id);
        assert!(parent(b"tree x\n\nparent aaaa\n").is_none());
    }

    #[test]
    fn a_batch_that_is_cut_short_is_refused() {
        assert_eq!(split_batch(b"3\na\nb\n0\n\n").unwrap(), [b"a\nb".to_vec(), Vec::new()]);
        assert!(split_batch(b"3\nab").is_none());
        assert!(split_batch(b"99999999999999999999\nab\n").is_none());
    }
}
