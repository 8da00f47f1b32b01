//! When there is a new snapshot, and what stays.

use jiff::Timestamp;

use super::*;
use crate::store::Folder;

/// A feed of a file in a folder, which holds the keys as well.
struct Desk {
    folder: tempfile::TempDir,
    feed: Feed,
}

impl Desk {
    fn new(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mcp.yaml");
        std::fs::write(&path, text).unwrap();
        let Ok(document) = crate::source::read(&path) else { panic!("refused: {text}") };
        let keys = Keys::new(Folder::new(folder.path()));
        let mut desk = Self { feed: Feed::new(path, document, Node::default(), keys), folder };
        assert_eq!(desk.publish(), "1");
        desk
    }

    fn write(&self, name: &str, text: &str) {
        let temporary = self.folder.path().join("new");
        std::fs::write(&temporary, text).unwrap();
        std::fs::rename(temporary, self.folder.path().join(name)).unwrap();
    }

    /// What becomes of the sources: `revision +added -removed ~changed also`, `=`, or what is wrong.
    fn publish(&mut self) -> String {
        let told = match self.feed.look() {
            Ok(None) => "=".to_owned(),
            Ok(Some(News { snapshot, changes, warnings, .. })) => {
                let names = |sign: &str, names: &[String]| {
                    names.iter().map(|name| format!(" {sign}{name}")).collect::<String>()
                };
                let also: String = changes.also.iter().map(|word| format!(" {word}")).collect();
                let odd: String =
                    warnings.iter().map(|warning| format!(" ({}: {})", warning.path, warning.message)).collect();
                format!(
                    "{}{}{}{}{also}{odd}",
                    snapshot.revision,
                    names("+", &changes.added),
                    names("-", &changes.removed),
                    names("~", &changes.changed)
                )
            }
            Err(FeedError::Unreadable(reason)) => {
                format!("unreadable: {}", reason.to_string().lines().next().unwrap_or_default())
            }
            Err(FeedError::Faults(source, faults)) => {
                format!("wrong: {}", source.show("error", &faults).to_string().lines().next().unwrap_or_default())
            }
            Err(FeedError::Keys(error)) => format!("keys: {error}"),
        };
        assert!(!self.feed.is_stale(), "not again and again: {told}");
        told
    }

    fn changed(&mut self, text: &str) -> String {
        self.write("mcp.yaml", text);
        assert!(self.feed.is_stale(), "{text}");
        self.publish()
    }
}

#[test]
fn a_new_snapshot_is_due_when_keys_change_and_broken_keys_leave_the_last_one() {
    let mut desk = Desk::new("features: {authentication: true}\n");
    assert!(!desk.feed.is_stale());
    let keys = Keys::new(Folder::new(desk.folder.path()));
    keys.create("alice", Timestamp::UNIX_EPOCH).unwrap();
    assert!(desk.feed.is_stale());
    assert_eq!(desk.publish(), "2 access");
    desk.write("clients.json", "broken");
    assert!(desk.publish().starts_with("keys: "));
    std::fs::remove_file(desk.folder.path().join("clients.json")).unwrap();
    assert!(desk.feed.is_stale());
    assert_eq!(desk.publish(), "3 access");
}

#[test]
fn a_changed_file_makes_the_next_revision_and_says_what_changed() {
    let mut desk = Desk::new("servers: {a: {command: a}, b: {command: b}}\n");
    assert_eq!(
        desk.changed("servers: {a: {command: x}, c: {command: c}}\nproxy: {prefix: never}\n"),
        "2 +c -b ~a prefix"
    );
    assert_eq!(desk.changed("# a comment\nservers: {a: {command: x}, c: {command: c}}\nproxy: {prefix: never}\n"), "=");
    assert_eq!(desk.changed("servers: {c: {command: c}, a: {command: x}}\nproxy: {prefix: never}\n"), "3 order");
    desk.feed.read_again();
    assert!(desk.feed.is_stale());
    assert_eq!(desk.publish(), "=");
}

#[test]
fn a_broken_file_changes_nothing_until_it_is_repaired() {
    let mut desk = Desk::new("servers: {a: {command: a}}\n");
    assert_eq!(desk.changed("servers: {a: {comand: a}}\n"), "unreadable: error: servers.a.comand: unknown key");
    assert_eq!(
        desk.changed("servers: {a: {command: a, url: b}}\n"),
        "wrong: error: servers.a: has both a `url` and a `command`"
    );
    assert_eq!(desk.changed(""), "unreadable: error: the configuration is not a map of settings");
    std::fs::remove_file(desk.folder.path().join("mcp.yaml")).unwrap();
    assert!(desk.publish().contains("cannot be read"));
    // Keys go on with the configuration in force.
    Keys::new(Folder::new(desk.folder.path())).create("alice", Timestamp::UNIX_EPOCH).unwrap();
    assert_eq!(desk.publish(), "2 access");
    assert_eq!(desk.changed("servers: {b: {command: a}}\n"), "3 +b -a");
}

#[test]
fn files_of_variables_count_as_well() {
    let mut desk = Desk::new("servers: {a: {command: a}}\n");
    let text = "servers: {a: {command: a, env_file: a.env}}\n";
    assert!(desk.changed(text).starts_with("unreadable: "));
    desk.write("a.env", "A=1\n");
    assert!(desk.feed.is_stale(), "the missing file is waited for");
    assert!(desk.publish().starts_with("2 ~a"));
    desk.write("a.env", "A=2\n");
    assert!(desk.publish().starts_with("3 ~a"));
}

#[test]
fn where_the_node_listens_counts_like_the_rest_and_what_the_process_is_for_stays() {
    let mut desk = Desk::new("proxy: {host: 0.0.0.0}\nfeatures: {authentication: true}\n");
    let bound = "takes effect at the next start";
    assert_eq!(
        desk.changed(
            "proxy: {host: 0.0.0.0, port: 1, log_level: debug, tls: [{certificate: c, key: k}]}\n\
             features: {authentication: true}\nservers: {a: {command: a}}\n"
        ),
        "2 +a listener monitoring"
    );
    // Loopback needs no keys, and from now on it is what is bound.
    let changed = desk.changed("proxy: {host: 127.0.0.1}\nservers: {a: {command: a}}\n");
    assert!(changed.starts_with("3") && changed.contains("listener") && changed.contains("access"), "{changed}");
    assert_eq!(
        desk.changed("proxy: {host: 127.0.0.1, transport: stdio}\nservers: {b: {command: a}}\n"),
        format!("4 +b -a (proxy.transport: {bound})")
    );
}

#[test]
fn keys_that_change_together_with_a_broken_file_count_all_the_same() {
    let mut desk = Desk::new("features: {authentication: true}\n");
    let keys = Keys::new(Folder::new(desk.folder.path()));
    for (revision, broken) in [(2, "servers: {a: {}}\n"), (3, "servers: {a: {comand: x}}\n"), (4, "a: [")] {
        keys.create(&format!("alice-{revision}"), Timestamp::UNIX_EPOCH).unwrap();
        desk.write("mcp.yaml", broken);
        assert!(desk.feed.look().is_err());
        assert!(desk.feed.is_stale(), "the keys are still due: {broken}");
        assert_eq!(desk.publish(), format!("{revision} access"));
    }
}

#[test]
fn a_file_that_changes_together_with_broken_keys_counts_once_they_are_repaired() {
    let mut desk = Desk::new("servers: {a: {command: a}}\n");
    desk.write("clients.json", "broken");
    desk.write("mcp.yaml", "servers: {b: {command: b}}\n");
    assert!(desk.publish().starts_with("keys: "));
    std::fs::remove_file(desk.folder.path().join("clients.json")).unwrap();
    assert_eq!(desk.publish(), "2 +b -a");
}
