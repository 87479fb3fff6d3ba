//! Which of Hive's projects may be taken up, where they are, and what the swarm calls them. Of what
//! Hive says, only an owner, a name and a branch get any further: every address is the
//! configuration's.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::integrations::hive::{Project, place};
use crate::kernel::event::MAX_REPOSITORY_NAME;
use crate::node::config::{self, Config};

/// The branch of a project for which Hive names none.
const BRANCH: &str = "main";

/// The longest name of a branch, in bytes.
const MAX_BRANCH: usize = 200;

/// The longest name of an owner or of a repository, in bytes.
const MAX_PART: usize = 100;

/// A repository that may be taken up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::node) struct Wanted {
    /// What the swarm calls it: [`Rules::name`].
    pub(in crate::node) name: String,
    /// `OWNER/NAME`, in small letters.
    pub(in crate::node) repository: String,
    /// The branch that work starts from.
    pub(in crate::node) branch: String,
    /// By which Hive names it.
    pub(in crate::node) project: u64,
    /// Whether tasks may be claimed now.
    pub(in crate::node) ready: bool,
}

/// What the configuration says of repositories that only Hive names.
#[derive(Debug)]
pub(super) struct Rules {
    /// Scheme, name and port of the host.
    web: String,
    /// The same as [`place`] has it.
    host: String,
    api: String,
    token_file: PathBuf,
    /// `OWNER/NAME` and `OWNER/BEGINNING*`, in small letters.
    owners: Vec<String>,
    /// Whether private repositories are taken up.
    pub(super) private: bool,
    /// The configured repositories: their names, their places, and API and `OWNER/NAME`.
    names: BTreeSet<String>,
    places: BTreeSet<String>,
    on_github: BTreeSet<(String, String)>,
}

impl Rules {
    /// Nothing, unless repositories are taken up.
    pub(super) fn of(config: &Config) -> Option<Self> {
        let hive = &config.hive;
        let token_file = hive.github_token_file.clone().filter(|_| hive.take_up)?;
        let sample = place(&format!("{}/o/n", hive.web_url)).ok()?;
        let entries = &config.repositories;
        let on_github = entries.iter().filter_map(|entry| {
            let api = entry.github_url.as_deref().unwrap_or(crate::integrations::github::API);
            Some((api.to_owned(), entry.github.as_ref()?.to_lowercase()))
        });
        Some(Self {
            web: hive.web_url.clone(),
            host: sample.strip_suffix("/o/n")?.to_owned(),
            api: hive.github_url.clone(),
            token_file,
            owners: hive.owners.iter().map(|pattern| pattern.to_lowercase()).collect(),
            private: hive.private,
            names: entries.iter().map(|entry| entry.name.clone()).collect(),
            places: entries.iter().filter_map(|entry| place(&entry.url).ok()).collect(),
            on_github: on_github.collect(),
        })
    }

    /// What becomes of a project: nothing if people have not enabled it or the configuration has
    /// its repository, otherwise the repository, or why it is not taken up.
    pub(super) fn judge(&self, project: &Project) -> Option<Result<Wanted, String>> {
        if !project.enabled || self.places.contains(&project.place) {
            return None;
        }
        let path = project.place.strip_prefix(&self.host).and_then(|rest| rest.strip_prefix('/'));
        let Some(repository) = path else {
            return Some(Err(format!("it is not at {}", self.web)));
        };
        if self.on_github.contains(&(self.api.clone(), repository.to_owned())) {
            return None;
        }
        let said = format!("{}/{}", project.owner, project.repository).to_lowercase();
        if said != "/" && said != repository {
            return Some(Err("its owner and name are not those of its address".to_owned()));
        }
        let branch = if project.branch.is_empty() { BRANCH } else { &project.branch };
        if project.private && !self.private {
            return Some(Err("it is private, and hive.private is not set".to_owned()));
        }
        Some(self.check(repository, branch, project.id, project.ready))
    }

    /// A repository by its `OWNER/NAME`, in small letters, if it may be taken up.
    pub(super) fn check(
        &self,
        repository: &str,
        branch: &str,
        project: u64,
        ready: bool,
    ) -> Result<Wanted, String> {
        let small = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let word = |text: &str, signs: &str| {
            text.len() <= MAX_PART
                && text.starts_with(|c: char| small(c) || c == '.' || c == '_')
                && text.chars().all(|c| small(c) || signs.contains(c))
        };
        let parts = repository.split_once('/');
        let sound = parts.is_some_and(|(owner, name)| {
            word(owner, "-") && word(name, "._-") && !name.chars().all(|c| c == '.')
        });
        if !sound || repository.ends_with(".git") {
            return Err("its path is no OWNER/NAME".to_owned());
        }
        let covers = |pattern: &String| match pattern.strip_suffix('*') {
            Some(start) => repository.starts_with(start),
            None => repository == pattern,
        };
        if !self.owners.iter().any(covers) {
            return Err("hive.owners does not have it".to_owned());
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-/+#".contains(c);
        let dashed = branch.starts_with('-') || branch.contains("..") || branch.contains("/-");
        if branch.is_empty() || branch.len() > MAX_BRANCH || dashed || !branch.chars().all(plain) {
            return Err("its branch has a name that is not taken".to_owned());
        }
        let name = self.name(repository);
        if name.len() > MAX_REPOSITORY_NAME {
            return Err(format!("its name is longer than {MAX_REPOSITORY_NAME} bytes"));
        }
        if self.names.contains(&name) {
            return Err(format!("the configuration calls another repository {name}"));
        }
        if self.on_github.contains(&(self.api.clone(), repository.to_owned()))
            || self.places.contains(&format!("{}/{repository}", self.host))
        {
            return Err("the configuration has it".to_owned());
        }
        let (repository, branch) = (repository.to_owned(), branch.to_owned());
        Ok(Wanted { name, repository, branch, project, ready })
    }

    /// What the swarm calls a repository: `HOST_OWNER_NAME`, with `..` before a port. It follows
    /// from the place alone, so that all nodes that take it up say the same, and its tasks have
    /// one id. Neither a host nor an owner has `_` in its name, so that no two places share one.
    fn name(&self, repository: &str) -> String {
        let host = self.host.replace(':', "..");
        format!("{host}_{}", repository.replacen('/', "_", 1))
    }

    /// The repository as the configuration would have it. No text of Hive's is in it but those
    /// that were checked.
    pub(super) fn entry(&self, wanted: &Wanted) -> config::Repository {
        let url = format!("{}/{}.git", self.web, wanted.repository);
        config::Repository {
            branch: wanted.branch.clone(),
            github: Some(wanted.repository.clone()),
            github_url: Some(self.api.clone()),
            token_file: Some(self.token_file.clone()),
            ..config::Repository::at(&wanted.name, &url)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use super::*;

    const TEXT: &str = r#"
        [agent]
        work = false
        [hive]
        url = "https://hive.example.org"
        take_up = true
        github_token_file = "t"
        owners = ["Acme/*", "other/web-*", "one/only"]
        [[repository]]
        name = "mine"
        url = "git@github.com:acme/mine.git"
        board = "b"
        [[repository]]
        name = "alias"
        url = "ssh://alias/acme/second"
        github = "Acme/Second"
        token_file = "t"
        [[repository]]
        name = "github.com_acme_clash"
        url = "/srv/clash.git"
        board = "b"
    "#;

    fn rules(text: &str) -> Option<Rules> {
        let loaded = Config::parse(text, Path::new("/etc/bzzz.toml"), &BTreeMap::new(), &[]);
        Rules::of(&loaded.unwrap().config)
    }

    fn project(url: &str) -> Project {
        Project {
            id: 7,
            name: "Sample".to_owned(),
            place: place(url).unwrap(),
            owner: String::new(),
            repository: String::new(),
            branch: String::new(),
            enabled: true,
            ready: true,
            private: false,
            token_required: true,
        }
    }

    fn judged(url: &str) -> Option<Result<Wanted, String>> {
        rules(TEXT).unwrap().judge(&project(url))
    }

    #[test]
    fn a_name_follows_from_the_place_and_the_address_from_the_configuration() {
        for url in ["https://github.com/Acme/Sample", "git@GitHub.com:acme/sample.git"] {
            let wanted = judged(url).unwrap().unwrap();
            assert_eq!(wanted.name, "github.com_acme_sample", "{url}");
            let entry = rules(TEXT).unwrap().entry(&wanted);
            assert_eq!(entry.url, "https://github.com/acme/sample.git");
            assert_eq!(entry.github_url.as_deref(), Some("https://api.github.com"));
            assert_eq!((entry.branch.as_str(), wanted.project), ("main", 7));
        }
        let text = TEXT.replace("take_up", "web_url = \"http://127.0.0.1:8080\"\ntake_up");
        let wanted = rules(&text).unwrap().judge(&project("http://127.0.0.1:8080/acme/a_b"));
        assert_eq!(wanted.unwrap().unwrap().name, "127.0.0.1..8080_acme_a_b");
    }

    #[test]
    fn nothing_is_taken_up_that_is_not_allowed() {
        let cases = [
            ("https://github.com/eve/sample", "hive.owners"),
            ("https://github.com/acme-eve/sample", "hive.owners"),
            ("https://github.com/other/sample", "hive.owners"),
            ("https://github.com/one/only-more", "hive.owners"),
            ("https://evil.example/acme/sample", "not at https://github.com"),
            ("https://github.com.evil.example/acme/sample", "not at https://github.com"),
            ("https://github.com:8443/acme/sample", "not at https://github.com"),
            ("/github.com/acme/sample", "not at https://github.com"),
            ("https://github.com/acme", "no OWNER/NAME"),
            ("https://github.com/acme/a/b", "no OWNER/NAME"),
            ("https://github.com/acme/%2e%2e%2fx", "no OWNER/NAME"),
            ("git@github.com:acme/..", "no OWNER/NAME"),
            ("git@github.com:acme/x.git.git", "no OWNER/NAME"),
            ("git@github.com:-acme/x", "no OWNER/NAME"),
            ("https://github.com/acme/clash", "calls another repository"),
        ];
        for (url, expected) in cases {
            let said = judged(url).expect("there is something to say").expect_err(url);
            assert!(said.contains(expected), "{url}: {said}");
        }
        for url in ["https://github.com/other/web-site", "https://github.com/one/only"] {
            assert!(judged(url).unwrap().is_ok(), "{url}");
        }
        let rules = rules(TEXT).unwrap();
        let good = project("https://github.com/acme/sample");
        for branch in ["-x", "a..b", "a b", "a:b", "a/-b", "a\u{301}"] {
            let bad = Project { branch: branch.to_owned(), ..good.clone() };
            assert!(rules.judge(&bad).unwrap().unwrap_err().contains("branch"), "{branch}");
        }
        let private = Project { private: true, ..good.clone() };
        assert!(rules.judge(&private).unwrap().unwrap_err().contains("private"));
        let (owner, repository) = ("acme".to_owned(), "other".to_owned());
        let twisted = Project { owner, repository, ..good.clone() };
        assert!(rules.judge(&twisted).unwrap().unwrap_err().contains("owner and name"));
        assert_eq!(rules.judge(&Project { enabled: false, ..good }), None);
    }

    #[test]
    fn the_configuration_wins() {
        for url in ["https://github.com/acme/mine", "https://github.com/acme/second"] {
            assert_eq!(judged(url), None, "{url}");
        }
        // So too where it was taken up before it was configured.
        for repository in ["acme/mine", "acme/second"] {
            let error = rules(TEXT).unwrap().check(repository, "main", 1, true).unwrap_err();
            assert_eq!(error, "the configuration has it", "{repository}");
        }
        assert!(rules(&TEXT.replace("take_up = true", "")).is_none(), "off by default");
        let none = TEXT.replace(r#"owners = ["Acme/*", "other/web-*", "one/only"]"#, "");
        let none = rules(&none).unwrap().judge(&project("https://github.com/acme/sample"));
        assert!(none.unwrap().unwrap_err().contains("hive.owners"), "an empty list means none");
    }
}
