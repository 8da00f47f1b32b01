//! The arguments of a call to a tool some of whose arguments are forced or have defaults.

use smallvec::SmallVec;

use super::object;
use crate::{
    Edit, Message, Span,
    scan::{
        cursor::{Cursor, DEEPEST, Fault},
        seen::Seen,
    },
};

/// Why arguments cannot be completed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ArgumentError {
    /// `params.arguments` is there, and no object.
    #[error("\"arguments\" must be an object; send {{}} or leave it out where there is nothing to say")]
    NotAnObject,
    /// An argument occurs twice, so that two readers could find two values.
    #[error("an argument occurs twice (the second time at byte {at}); send each argument once")]
    Duplicate {
        /// Where the second one stands, in bytes from the start of the body.
        at: usize,
    },
    /// There are no params.
    #[error("a call needs \"params\" with the \"name\" of a tool")]
    NoParams,
}

/// Adds the edits that complete `params.arguments` of a `tools/call`: `forced` arguments replace what the caller gave,
/// `defaults` fill in what the caller left out (null is something given). Both are name and raw JSON value, no name
/// twice in one slice; what is forced needs no default. `arguments` is inserted where it is absent.
///
/// Looks at nothing if both are empty. `body` must be what was scanned as `message`.
///
/// # Errors
///
/// [`ArgumentError`]; then `edits` is as it was.
pub fn edit_arguments(
    body: &[u8],
    message: &Message,
    defaults: &[(&str, &str)],
    forced: &[(&str, &str)],
    edits: &mut SmallVec<[Edit; 4]>,
) -> Result<(), ArgumentError> {
    if defaults.is_empty() && forced.is_empty() {
        return Ok(());
    }
    // What goes at the end: forced arguments first, then the defaults of what is not forced.
    let is_forced = |name: &str| forced.iter().any(|(forced, _)| *forced == name);
    let mut missing: Vec<(&str, &str)> = forced.to_vec();
    missing.extend(defaults.iter().filter(|(name, _)| !is_forced(name)));
    let Some(arguments) = message.p.arguments else {
        edits.push(insert_arguments(body, message, missing)?);
        return Ok(());
    };
    let given = Given::read(body, arguments, forced, &mut missing)?;
    edits.extend(given.replaced);
    if !missing.is_empty() {
        let mut with = Vec::new();
        object::write_members(&mut with, !given.empty, missing.into_iter());
        edits.push(Edit { span: Span::at(given.end), with: with.into() });
    }
    Ok(())
}

/// The arguments of the caller.
struct Given {
    /// Forced arguments in the place of the caller's.
    replaced: Vec<Edit>,
    empty: bool,
    /// Where further arguments go.
    end: u32,
}

impl Given {
    /// Reads them, and takes out of `missing` what is there.
    fn read(
        body: &[u8],
        arguments: Span,
        forced: &[(&str, &str)],
        missing: &mut Vec<(&str, &str)>,
    ) -> Result<Self, ArgumentError> {
        let mut cursor = Cursor::new(body, DEEPEST as u16);
        cursor.at = arguments.start as usize;
        if cursor.token() != Some(b'{') {
            return Err(ArgumentError::NotAnObject);
        }
        let mut given = Self { replaced: Vec::new(), empty: true, end: arguments.start + 1 };
        let mut seen = Seen::default();
        let walked = cursor.members(|cursor, key| {
            let span = cursor.skip()?;
            given.empty = false;
            given.end = span.end;
            missing.retain(|(name, _)| *name.as_bytes() != *key.text);
            if let Some((_, raw)) = forced.iter().find(|(name, _)| *name.as_bytes() == *key.text) {
                given.replaced.push(Edit { span, with: raw.as_bytes().to_vec().into() });
            }
            seen.add(key)
        });
        match walked {
            Ok(_) => Ok(given),
            Err(Fault { at, .. }) => Err(ArgumentError::Duplicate { at: at as usize }),
        }
    }
}

/// The edit that puts an `arguments` in front of the other params.
fn insert_arguments(body: &[u8], message: &Message, members: Vec<(&str, &str)>) -> Result<Edit, ArgumentError> {
    let params = message.params.ok_or(ArgumentError::NoParams)?;
    let mut with = br#""arguments":"#.to_vec();
    with.extend_from_slice(&object::write(members.into_iter()));
    let mut cursor = Cursor::new(body, DEEPEST as u16);
    cursor.at = params.start as usize + 1;
    if cursor.token() != Some(b'}') {
        with.push(b',');
    }
    Ok(Edit { span: Span::at(params.start + 1), with: with.into() })
}
