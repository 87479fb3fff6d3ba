//! What Hive says of its projects, read with mistrust.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::place::place;
use crate::integrations::http::short;

/// The most projects that Hive may list.
pub const MAX_PROJECTS: usize = 1_000;

/// The longest address of a repository, in bytes.
const MAX_URL: usize = 2_048;

/// The longest other text, in bytes.
const MAX_TEXT: usize = 256;

/// A project of Hive whose fields are sound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Project {
    /// By which Hive names it.
    pub id: u64,
    /// Its name, for people.
    pub name: String,
    /// Where its repository is, in the form of [`place`]. It is compared with and never gone to.
    pub place: String,
    /// The owner of the repository, on a forge.
    pub owner: String,
    /// The repository's name, on a forge.
    pub repository: String,
    /// The branch that work starts from, as Hive says.
    pub branch: String,
    /// Whether people want it to be worked on by bzzz at all.
    pub enabled: bool,
    /// Whether tasks may be claimed now.
    pub ready: bool,
    /// Whether the repository is private.
    pub private: bool,
    /// Whether a token is needed.
    pub token_required: bool,
}

/// The projects by place, and what was wrong with others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// The projects, by the place of their repository.
    pub projects: BTreeMap<String, Project>,
    /// What could not be taken, a line each.
    pub refused: Vec<String>,
}

#[derive(Deserialize)]
struct Entry {
    project_id: u64,
    #[serde(default)]
    name: String,
    git_url: String,
    #[serde(default)]
    owner: String,
    #[serde(default)]
    repository: String,
    #[serde(default)]
    branch: String,
    #[serde(default)]
    bzzz_enabled: bool,
    #[serde(default)]
    ready_to_claim: bool,
    #[serde(default)]
    private_repo: bool,
    #[serde(default)]
    github_token_required: bool,
}

impl Listing {
    /// Reads the answer of `active-repos`: a list, or an object with one at `repositories`.
    pub(super) fn read(value: &Value) -> Result<Listing, String> {
        let list = value.get("repositories").unwrap_or(value);
        let list = list.as_array().ok_or("it has no list of repositories")?;
        if list.len() > MAX_PROJECTS {
            return Err(format!("it lists {} projects, more than {MAX_PROJECTS}", list.len()));
        }
        let mut listing = Listing::default();
        for (index, entry) in list.iter().enumerate() {
            let read = project(entry).and_then(|project| {
                if let Some(other) = listing.projects.get(&project.place) {
                    return Err(format!("its repository is project {}'s already", other.id));
                }
                Ok(project)
            });
            match read {
                Ok(project) => drop(listing.projects.insert(project.place.clone(), project)),
                Err(reason) => listing.refused.push(format!("repository {index}: {reason}")),
            }
        }
        Ok(listing)
    }
}

fn project(value: &Value) -> Result<Project, String> {
    let entry = Entry::deserialize(value).map_err(|error| short(&error.to_string(), 200))?;
    if entry.git_url.len() > MAX_URL {
        return Err(format!("git_url is longer than {MAX_URL} bytes"));
    }
    let texts = [
        ("name", &entry.name),
        ("owner", &entry.owner),
        ("repository", &entry.repository),
        ("branch", &entry.branch),
    ];
    for (name, text) in texts {
        if text.len() > MAX_TEXT || text.chars().any(char::is_control) {
            return Err(format!("{name} is no line of at most {MAX_TEXT} bytes"));
        }
    }
    Ok(Project {
        id: entry.project_id,
        place: place(&entry.git_url).map_err(|reason| format!("git_url: {reason}"))?,
        name: entry.name,
        owner: entry.owner,
        repository: entry.repository,
        branch: entry.branch,
        enabled: entry.bzzz_enabled,
        ready: entry.ready_to_claim,
        private: entry.private_repo,
        token_required: entry.github_token_required,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn entry(id: u64, url: &str) -> Value {
        json!({
            "project_id": id, "name": "Sample", "git_url": url, "owner": "acme",
            "repository": "sample", "branch": "main", "bzzz_enabled": true,
            "ready_to_claim": true, "private_repo": false, "github_token_required": false,
        })
    }

    #[test]
    fn a_listing_has_the_fields_of_hive() {
        let read = Listing::read(&json!({ "repositories": [entry(7, "https://h.example/a/b")] }));
        let read = read.unwrap();
        assert_eq!(read.refused, Vec::<String>::new());
        let project = &read.projects["h.example/a/b"];
        assert_eq!((project.id, project.enabled, project.ready), (7, true, true));
        assert_eq!((project.owner.as_str(), project.branch.as_str()), ("acme", "main"));
        let bare = json!([{ "project_id": 1, "git_url": "https://h.example/c" }]);
        let bare = Listing::read(&bare).unwrap();
        let project = &bare.projects["h.example/c"];
        assert!(!project.enabled && !project.ready, "what is not said is not allowed");
    }

    #[test]
    fn bad_entries_are_refused_alone() {
        let long = "x".repeat(300);
        let mut named = entry(3, "https://h.example/3");
        named["name"] = json!(long);
        let mut lines = entry(4, "https://h.example/4");
        lines["branch"] = json!("main\nx");
        let list = json!({ "repositories": [
            entry(1, "https://h.example/a.git"),
            entry(2, "git@h.example:a"),
            named,
            lines,
            entry(5, "https://token@h.example/5"),
            json!({ "git_url": "https://h.example/6" }),
            json!("x"),
            entry(8, &format!("https://h.example/{}", "y".repeat(3_000))),
            entry(9, "https://h.example/9"),
        ] });
        let read = Listing::read(&list).unwrap();
        let ids: Vec<u64> = read.projects.values().map(|project| project.id).collect();
        assert_eq!(ids, [9, 1], "in the order of their places");
        assert_eq!(read.refused.len(), 7);
        assert!(read.refused[0].contains("project 1's already"), "{:?}", read.refused);
        assert!(!read.refused[3].contains("token"), "{:?}", read.refused);
    }

    #[test]
    fn no_list_and_too_long_a_list_are_refused_whole() {
        for wrong in [json!(null), json!({}), json!({ "repositories": {} }), json!("x")] {
            assert!(Listing::read(&wrong).is_err(), "{wrong}");
        }
        let many = vec![json!(1); MAX_PROJECTS + 1];
        assert!(Listing::read(&json!({ "repositories": many })).is_err());
    }
}
