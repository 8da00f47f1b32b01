//! The names that tools and prompts of many servers have on one door: `server_name`. No catalogue: who has which name is
//! decided elsewhere.

/// How many characters (not bytes) an exposed name has at most: what the model providers that clients pass names on to
/// accept.
pub const EXPOSED_NAME_CHARS: usize = 64;

/// How many hexadecimal digits of a hash end a shortened name.
const DIGITS: usize = 10;

/// The name a tool or prompt has on the merged door: `server_name`, or, where that exceeds [`EXPOSED_NAME_CHARS`], as much
/// of its beginning as leaves room for `_` and ten hexadecimal digits, exactly [`EXPOSED_NAME_CHARS`] characters in all.
///
/// The digits are the 64-bit FNV-1a hash of the whole `server_name` in UTF-8, folded to 40 bits (`hash >> 40 ^ hash`):
/// the same on every node, in every version. The hash keeps names apart, it is no secret and no protection: a server
/// that wants two of its own names to collide finds some. Two names of one server may do so by accident with a chance
/// of one in 10^12; the caller, who must deal with clashes anyhow, sees it.
#[must_use]
pub fn exposed_name(server: &str, name: &str) -> String {
    let mut exposed = String::with_capacity(server.len() + 1 + name.len());
    exposed.push_str(server);
    exposed.push('_');
    exposed.push_str(name);
    if exposed.char_indices().nth(EXPOSED_NAME_CHARS).is_none() {
        return exposed;
    }
    let hash = fnv1a(exposed.as_bytes());
    let kept = exposed.char_indices().nth(EXPOSED_NAME_CHARS - 1 - DIGITS).map_or(exposed.len(), |(at, _)| at);
    exposed.truncate(kept);
    exposed + &format!("_{:010x}", (hash >> 40 ^ hash) & 0xff_ffff_ffff)
}

/// The server's key and the rest of an exposed name, split at the first `_`: keys of servers have none. `None` where
/// there is no `_`, or nothing before it.
///
/// The rest is the tool's own name unless the name was shortened; only a catalogue can tell.
#[must_use]
pub fn split_server(exposed: &str) -> Option<(&str, &str)> {
    exposed.split_once('_').filter(|(server, _)| !server.is_empty())
}

/// The 64-bit hash of Fowler, Noll and Vo, variant 1a.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_are_server_and_name() {
        assert_eq!(exposed_name("fs", "read_file"), "fs_read_file");
        assert_eq!(exposed_name("a", ""), "a_");
        let longest = "x".repeat(EXPOSED_NAME_CHARS - 3);
        assert_eq!(exposed_name("fs", &longest), format!("fs_{longest}"));
    }

    #[test]
    fn long_names_keep_their_beginning_and_end_with_the_same_hash_forever() {
        let one = exposed_name("files", &"read".repeat(20));
        assert_eq!(one, format!("files_{}rea_bd52fb3252", "read".repeat(11)));
        let other = exposed_name("files", &("read".repeat(20) + "s"));
        assert_eq!(one[..53], other[..53]);
        assert_ne!(one, other);
        assert_eq!(split_server(&one).unwrap().0, "files");
    }

    #[test]
    fn characters_are_counted_and_never_cut() {
        let fits = "ü".repeat(EXPOSED_NAME_CHARS - 2);
        assert_eq!(exposed_name("a", &fits), format!("a_{fits}"));
        let cut = exposed_name("a", &"ü\u{1f600}".repeat(40));
        assert_eq!(cut.chars().count(), EXPOSED_NAME_CHARS);
        assert!(cut.starts_with("a_ü\u{1f600}ü"));
    }

    #[test]
    fn the_hash_is_the_published_one() {
        // from the test vectors of the hash's authors
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn names_are_split_at_the_first_underscore() {
        assert_eq!(split_server("fs_read_file"), Some(("fs", "read_file")));
        assert_eq!(split_server("fs_"), Some(("fs", "")));
        assert_eq!(split_server("fs"), None);
        assert_eq!(split_server("_x"), None);
    }
}
