use super::*;

fn tree() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn none() -> Bounds {
    Bounds { bytes: 1 << 20, links: Some(BTreeMap::new()) }
}

/// Writes an entry with a name and link target that the library itself would refuse.
fn raw(out: &mut Vec<u8>, kind: EntryType, name: &[u8], link: &[u8], data: &[u8]) {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(u64::try_from(data.len()).unwrap());
    header.set_mode(0o644);
    let old = header.as_old_mut();
    old.name[..name.len()].copy_from_slice(name);
    old.linkname[..link.len()].copy_from_slice(link);
    header.set_cksum();
    out.extend_from_slice(header.as_bytes());
    out.extend_from_slice(data);
    out.resize(out.len().next_multiple_of(512), 0);
}

fn unpacked(entries: &[(EntryType, &str, &str, &[u8])]) -> Result<Exported, ArchiveError> {
    let mut bytes = Vec::new();
    for (kind, name, link, data) in entries {
        raw(&mut bytes, *kind, name.as_bytes(), link.as_bytes(), data);
    }
    bytes.extend_from_slice(&[0; 1024]);
    let dir = tree();
    let dest = dir.path().join("out");
    let result = unpack(&bytes[..], &dest, none());
    assert_eq!(dest.exists(), result.is_ok(), "an error leaves nothing behind");
    result
}

fn refusal(entries: &[(EntryType, &str, &str, &[u8])]) -> String {
    unpacked(entries).unwrap_err().to_string()
}

#[test]
fn a_tree_survives_the_way_there_and_back() {
    let from = tree();
    let long = "n".repeat(200);
    fs::create_dir_all(from.path().join("a").join(&long)).unwrap();
    fs::create_dir_all(from.path().join(".git/hooks")).unwrap();
    fs::write(from.path().join(".git/config"), "secret").unwrap();
    fs::write(from.path().join("a").join(&long).join(&long), [0, 255, 10]).unwrap();
    fs::write(from.path().join("run"), "#!/bin/sh\n").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    fs::set_permissions(from.path().join("run"), mode).unwrap();
    std::os::unix::fs::symlink("../run", from.path().join("a/link")).unwrap();
    std::os::unix::fs::symlink(format!("{long}/{long}"), from.path().join("a/far")).unwrap();
    let dir = tree();
    let dest = dir.path().join("out");
    let (exported, outward) = copy_tree(from.path(), &dest, none()).unwrap();
    assert_eq!((exported.files, exported.links, exported.bytes), (2, 2, 13));
    assert!(outward.is_empty());
    assert_eq!(fs::read(dest.join("a/far")).unwrap(), [0, 255, 10]);
    assert_eq!(fs::read(dest.join("a/link")).unwrap(), b"#!/bin/sh\n");
    assert_eq!(fs::metadata(dest.join("run")).unwrap().mode() & 0o111, 0o111);
    assert!(!dest.join(".git").exists());
}

#[test]
fn names_stay_inside() {
    use EntryType as T;
    assert!(refusal(&[(T::Regular, "/etc/x", "", b"")]).contains("an absolute name"));
    assert!(refusal(&[(T::Regular, "a/../../x", "", b"")]).contains("a name with .. in it"));
    assert!(refusal(&[(T::Directory, "..", "", b"")]).contains("a name with .. in it"));
    assert!(refusal(&[(T::Char, "null", "", b"")]).contains("a device"));
    let twice = [(T::Regular, "x", "", &b"1"[..]), (T::Regular, "./x", "", b"2")];
    assert!(refusal(&twice).contains("which is in the archive twice"));
}

#[test]
fn links_stay_inside_and_nothing_is_written_through_them() {
    use EntryType as T;
    for target in ["/etc/passwd", "..", "../x", "a/../../x", "sub/.."] {
        let refused = refusal(&[(T::Symlink, "l", target, b"")]);
        assert!(refused.contains("a link that leads out of it"), "{target}: {refused}");
    }
    let fine = [(T::Symlink, "d/e/l", "../../x", &b""[..]), (T::Symlink, "d/m", "e/l", b"")];
    assert_eq!(unpacked(&fine).unwrap().links, 2);
    let through = [(T::Symlink, "d", "e", &b""[..]), (T::Regular, "d/x", "", b"1")];
    assert!(refusal(&through).contains("twice"));
    let hard = [(T::Link, "h", "../../etc/passwd", &b""[..])];
    assert!(refusal(&hard).contains(".."));
    let hard = [(T::Symlink, "s", "x", &b""[..]), (T::Link, "h", "s", b"")];
    assert!(refusal(&hard).contains("a hard link to something that is no file in it"));
    let hard = [(T::Regular, "f", "", &b"12"[..]), (T::Link, "h", "./f", b"")];
    assert_eq!(unpacked(&hard).unwrap().bytes, 4);
}

#[test]
fn links_out_that_came_in_may_go_out() {
    let from = tree();
    std::os::unix::fs::symlink("/dev/null", from.path().join("l")).unwrap();
    let dir = tree();
    let any = Bounds { bytes: 9, links: None };
    let (_, outward) = copy_tree(from.path(), &dir.path().join("in"), any).unwrap();
    assert_eq!(outward.len(), 1);
    let known = Bounds { bytes: 9, links: Some(outward) };
    let (exported, _) = copy_tree(&dir.path().join("in"), &dir.path().join("out"), known).unwrap();
    assert_eq!(exported.links, 1);
    let error = copy_tree(from.path(), &dir.path().join("no"), none()).unwrap_err();
    assert!(error.to_string().contains("a link that leads out of it"));
}

#[test]
fn sizes_are_bounded_before_they_exist() {
    let from = tree();
    File::create(from.path().join("huge")).unwrap().set_len(1 << 40).unwrap();
    let dir = tree();
    let error = copy_tree(from.path(), &dir.path().join("out"), none()).unwrap_err();
    assert!(matches!(error, ArchiveError::TooLarge { limit: 1_048_576 }), "{error}");

    // A header that promises a terabyte, and a long name that promises as much.
    for kind in [EntryType::Regular, EntryType::GNULongName] {
        let mut bytes = Vec::new();
        raw(&mut bytes, kind, b"x", b"", b"");
        let mut header = tar::Header::from_byte_slice(&bytes[..512]).clone();
        header.set_size(1 << 40);
        header.set_cksum();
        assert!(unpack(&header.as_bytes()[..], &dir.path().join("out"), none()).is_err());
    }
}

#[test]
fn what_git_does_not_keep_is_left_out() {
    use EntryType as T;
    let entries = [
        (T::Fifo, "pipe", "", &b""[..]),
        (T::Regular, "sub/.GIT/config", "", b"[core]"),
        (T::Regular, ".gitignore", "", b"x"),
    ];
    let exported = unpacked(&entries).unwrap();
    assert_eq!(exported.left_out, ["pipe", "sub/.GIT/config"]);
    assert_eq!(exported.files, 1);
}

#[test]
fn a_destination_in_use_is_left_alone() {
    let dir = tree();
    fs::write(dir.path().join("mine"), "1").unwrap();
    let error = unpack(&[0; 1024][..], dir.path(), none()).unwrap_err();
    assert!(matches!(error, ArchiveError::Destination(_)), "{error}");
    assert!(dir.path().join("mine").exists());
}
