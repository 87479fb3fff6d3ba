//! Secrets whole, split at every byte, in binary output, and what only looks like one.

use proptest::prelude::*;

use super::*;

const OWN: &str = "n8n-own-token-value-4711";

fn masker() -> Masker {
    let secrets = Secrets::default();
    for own in [OWN, "short"] {
        secrets.keep(own.as_bytes());
    }
    Masker::new(secrets)
}

/// Tokens of no account, put together here so that no scanner takes this file for a leak.
fn secrets() -> Vec<(String, &'static str)> {
    let long = |n: usize| "aB3dE6gH9jK2".chars().cycle().take(n).collect::<String>();
    let block = |name: &str| {
        format!("-----BEGIN {name}-----\nMIIE{}\n{}==\n-----END {name}-----", long(64), long(20))
    };
    let jwt = format!("eyJ{}.eyJ{}.{}", long(33), long(40), long(43));
    let mut all = vec![
        (OWN.to_owned(), "own secret"),
        (format!("ghp_{}", long(36)), "github-token"),
        (format!("github_pat_{}", long(82)), "github-token"),
        (format!("glpat-{}", long(20)), "gitlab-token"),
        (format!("AKIA{}", "ABCDEFGHIJKLMNOP"), "aws-key-id"),
        (format!("xoxb-{}", long(40)), "slack-token"),
        (format!("AIza{}", long(35)), "google-key"),
        (format!("npm_{}", long(36)), "npm-token"),
        (format!("sk-ant-{}", long(90)), "model-key"),
        (jwt, "jwt"),
        (block(&["RSA PRIVATE", "KEY"].join(" ")), "private-key"),
        (block(&["OPENSSH PRIVATE", "KEY"].join(" ")), "private-key"),
    ];
    let escaped = all.last().map(|(block, name)| (block.replace('\n', "\\n"), *name));
    all.extend(escaped);
    all
}

fn stream(masker: &Masker, pieces: &[&[u8]]) -> Vec<u8> {
    let mut stream = masker.stream();
    let mut out: Vec<u8> = pieces.iter().flat_map(|piece| stream.push(piece)).collect();
    out.extend(stream.end());
    out
}

#[test]
fn every_sort_is_masked_wherever_it_is_split() {
    let masker = masker();
    for (secret, name) in secrets() {
        let text = format!("TOKEN={secret}\nnext");
        let expected = format!("TOKEN=[masked: {name}]\nnext");
        assert_eq!(masker.text(text.clone()), expected, "{secret}");
        for at in 0..=text.len() {
            let (a, b) = text.as_bytes().split_at(at);
            let out = stream(&masker, &[a, b]);
            assert_eq!(String::from_utf8_lossy(&out), expected, "{secret} split at {at}");
        }
        let single: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
        assert_eq!(stream(&masker, &single), expected.as_bytes());
        // At the very end, and alone.
        assert_eq!(masker.text(secret.clone()), format!("[masked: {name}]"));
        // Between bytes that are no text.
        let binary = [&[0xff, 0, 0xfe][..], secret.as_bytes(), &[0x80, 0]].concat();
        let mark = format!("[masked: {name}]");
        let expected = [&[0xff, 0, 0xfe][..], mark.as_bytes(), &[0x80, 0]].concat();
        for at in 0..binary.len() {
            assert_eq!(
                stream(&masker, &[&binary[..at], &binary[at..]]),
                expected,
                "{name} at {at}"
            );
        }
    }
}

#[test]
fn secrets_that_follow_each_other_are_all_masked() {
    let masker = masker();
    for (first, a) in secrets() {
        for (second, b) in secrets().into_iter().filter(|(_, name)| *name == "private-key") {
            // Between tokens of one set of characters stands something else.
            let gap = if a == "private-key" { "" } else { ";" };
            let text = format!("{first}{gap}{second}{second} end");
            let expected = format!("[masked: {a}]{gap}[masked: {b}][masked: {b}] end");
            assert_eq!(masker.text(text.clone()), expected, "{text}");
            let single: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
            assert_eq!(stream(&masker, &single), expected.as_bytes());
        }
    }
}

#[test]
fn what_is_no_secret_stays() {
    for text in [
        "ghp_short, AKIA, eyJ, -----BEGIN CERTIFICATE-----\nMIIE\n-----END CERTIFICATE-----",
        "a commit 3b6a27bcceb6a42d62a3a8d02a6f0d73653215771de243a63ac048a18b59da29",
        "a short secret is too short: it would be found everywhere",
        "eyJ.eyJ.eyJ.eyJ",
        "",
    ] {
        assert_eq!(masker().text(text.to_owned()), text);
        let single: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
        assert_eq!(stream(&masker(), &single), text.as_bytes());
    }
}

/// Work that grows with the square of a mebibyte would not end.
#[test]
fn what_is_held_back_is_bounded_and_time_is_linear() {
    let masker = masker();
    let begin = ["-----BEGIN RSA PRIVATE", "KEY-----\n"].join(" ");
    for start in [begin.as_str(), "eyJ", "ghp_", "sk-ant-", "github_pat_"] {
        let mut stream = masker.stream();
        stream.push(start.as_bytes());
        for _ in 0..64 {
            stream.push(&[b'A'; 16 * 1024]);
            assert!(stream.held.len() <= 2 * MAX_BLOCK + 1024, "{start}: {}", stream.held.len());
        }
    }
    for part in ["eyJ", "eyJ.", "-----BEGIN ", "ghp_", "AKIA", "xoxb-", OWN] {
        let text = part.repeat((1 << 20) / part.len());
        let _ = masker.text(text);
    }
}

proptest! {
    #[test]
    fn pieces_and_the_whole_give_the_same(
        parts in prop::collection::vec((0usize..20, 0usize..40), 1..12),
        cuts in prop::collection::vec(1usize..30, 1..60),
    ) {
        let masker = masker();
        let secrets = secrets();
        assert!(secrets.len() >= 11, "there are as many others as the slice is long");
        let mut text = Vec::new();
        for (which, cut) in parts {
            match secrets.get(which) {
                Some((secret, _)) if cut > 30 => {
                    text.extend_from_slice(&secret.as_bytes()[..cut / 3]);
                }
                Some((secret, _)) => text.extend_from_slice(secret.as_bytes()),
                None => text.extend_from_slice(&b" =\n\xff.-eyJ"[which - secrets.len()..]),
            }
            text.extend_from_slice(&b"; "[..cut % 3]);
        }
        let mut whole = Vec::new();
        masker.mask_into(&text, true, &mut None, &mut whole);
        let (mut pieces, mut rest) = (Vec::new(), &text[..]);
        for cut in cuts.iter().cycle() {
            if rest.is_empty() { break; }
            let (piece, next) = rest.split_at((*cut).min(rest.len()));
            pieces.push(piece);
            rest = next;
        }
        prop_assert_eq!(stream(&masker, &pieces), whole);
    }
}

#[test]
fn a_token_that_was_got_later_is_masked_by_who_was_there_before() {
    let secrets = Secrets::default();
    let masker = Masker::new(secrets.clone());
    let mut stream = masker.stream();
    assert_eq!(masker.text("v1.token-of-an-hour".to_owned()), "v1.token-of-an-hour");
    secrets.got(b"v1.token-of-an-hour");
    assert_eq!(masker.text("v1.token-of-an-hour".to_owned()), "[masked: own secret]");
    let mut out = stream.push(b"v1.token-of-");
    out.extend(stream.push(b"an-hour!"));
    out.extend(stream.end());
    assert_eq!(out, b"[masked: own secret]!");
    for n in 0..1000 {
        secrets.got(format!("another token {n}").as_bytes());
    }
    assert_eq!(masker.text("v1.token-of-an-hour".to_owned()), "v1.token-of-an-hour");
    assert_eq!(masker.text("another token 999".to_owned()), "[masked: own secret]");
}
