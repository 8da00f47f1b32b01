//! Whether an answer is the one to a request.

use crate::answer::Answer;
use crate::ask::{Expected, digits};
use crate::options::DIGITS;

/// Checks answers. One is read in full; those that differ from it in nothing but the digits of the id are as good.
#[derive(Default)]
pub(crate) struct Checker {
    known: Vec<Known>,
}

/// An answer that was found right.
struct Known {
    message: Vec<u8>,
    expected: Expected,
    /// Where the digits of its id are.
    places: Vec<usize>,
}

impl Checker {
    /// # Errors
    /// A sentence that says what is wrong.
    pub(crate) fn check(&mut self, message: &[u8], id: u64, expected: &Expected) -> Result<(), String> {
        if self.known.iter().any(|known| known.expected == *expected && known.fits(message, id)) {
            return Ok(());
        }
        read(message, id, expected)?;
        let digits = digits(id);
        let places = memchr::memmem::find_iter(message, &digits).collect();
        let known = Known { message: message.to_vec(), expected: expected.clone(), places };
        // one of each kind: where every request expects something else, all are read in full
        self.known.clear();
        self.known.push(known);
        Ok(())
    }
}

impl Known {
    fn fits(&self, message: &[u8], id: u64) -> bool {
        let digits = digits(id);
        let mut at = 0;
        message.len() == self.message.len()
            && self.places.iter().all(|place| {
                let same = message[at..*place] == self.message[at..*place];
                at = place + DIGITS;
                same && message[*place..at] == digits
            })
            && message[at..] == self.message[at..]
    }
}

fn read(message: &[u8], id: u64, expected: &Expected) -> Result<(), String> {
    let said = || String::from_utf8_lossy(&message[..message.len().min(500)]).into_owned();
    let answer: Answer = serde_json::from_slice(message).map_err(|error| format!("{error}: {}", said()))?;
    if answer.id != Some(id) {
        return Err(format!("not the answer to {id}: {}", said()));
    }
    let result = answer.result.filter(|result| !result.is_error).ok_or_else(|| format!("no result: {}", said()))?;
    match expected {
        Expected::Tools(count) => {
            let mut names: Vec<&str> = result.tools.iter().map(|tool| tool.name).collect();
            names.sort_unstable();
            names.dedup();
            if names.len() != *count || result.next.is_some() {
                return Err(format!("{} tools on the first page instead of {count} in all", names.len()));
            }
        }
        Expected::Text { words, length } => {
            let digits = digits(id);
            let rest = match result.content[..] {
                [ref content] if content.text.len() == *length => {
                    content.text.as_bytes().strip_prefix(words.as_bytes()).and_then(|rest| rest.strip_prefix(&digits))
                }
                _ => None,
            };
            if !rest.is_some_and(|rest| rest.iter().all(|byte| *byte == b'x')) {
                return Err(format!("not the text of {words}{id}, {length} bytes: {}", said()));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: u64 = 1_000_000_007;

    fn text(id: u64, said: u64) -> String {
        format!(r#"{{"result":{{"content":[{{"type":"text","text":"s1 tool_2 {said}xx"}}]}},"id":{id}}}"#)
    }

    fn checked(first: &str, message: &str) -> Result<(), String> {
        let expected = Expected::Text { words: "s1 tool_2 ".to_owned(), length: 22 };
        let mut checker = Checker::default();
        checker.check(first.as_bytes(), ID, &expected).unwrap();
        checker.check(message.as_bytes(), ID + 1, &expected)
    }

    #[test]
    fn only_the_answer_to_this_very_request_is_right() {
        let first = text(ID, ID);
        let right = text(ID + 1, ID + 1);
        assert_eq!(checked(&first, &right), Ok(()));
        // another order or spelling is as good
        assert_eq!(checked(&first, &right.replace(',', ", ")), Ok(()));
        for wrong in [
            first.clone(),
            text(ID + 1, ID),
            text(ID, ID + 1),
            right.replace("tool_2", "tool_3"),
            right.replace("xx", "xy"),
            right.replace("xx", "xxx"),
            right.replace("result", "error"),
            right[..right.len() - 1].to_owned(),
        ] {
            assert!(checked(&first, &wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn tools_are_counted_once_each() {
        let list = |names: &str| format!(r#"{{"id":{ID},"result":{{"tools":[{names}]}}}}"#);
        let check = |names| Checker::default().check(list(names).as_bytes(), ID, &Expected::Tools(2));
        assert_eq!(check(r#"{"name":"a"},{"name":"b"}"#), Ok(()));
        assert!(check(r#"{"name":"a"},{"name":"a"}"#).is_err());
        assert!(check(r#"{"name":"a"}"#).is_err());
    }
}
