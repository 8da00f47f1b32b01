//! The tokens that a control plane keeps.

use serde_json::{Value, json};
use sluice_contract::v1::{CreateTokenRequest, ListTokensRequest, RevokeTokenRequest, Token, TokenKind};

use super::Create;
use crate::client::Connection;
use crate::output::{self, Failure, Field, Format, Tone, talk, time};
use crate::spread::Wait;

pub(super) fn create(mut connection: Connection, asked: &Create) -> Result<(), Failure> {
    let kind = match (&asked.role, asked.join) {
        (Some(_), _) => TokenKind::Person,
        (None, true) => TokenKind::Join,
        (None, false) => TokenKind::Client,
    };
    let request = CreateTokenRequest {
        kind: kind.into(),
        name: asked.name.clone(),
        role: asked.role.clone().unwrap_or_default(),
        expires_in_seconds: asked.expires.map_or(0, |span| span.as_secs()),
        labels: asked.labels.iter().cloned().collect(),
        own_labels: asked.own_labels,
    };
    let answer = connection.ask(async |admin| admin.create_token(request).await)?;
    let ends = answer.about.as_ref().map_or(0, |token| token.expires_ms);
    let until = match ends {
        0 => String::new(),
        ends => format!(", ends {}", time::relative(ends, time::now())),
    };
    let what = match kind {
        TokenKind::Join => "token to join with",
        TokenKind::Person => "token",
        TokenKind::Client | TokenKind::Unspecified => "key",
    };
    let bound = answer.about.map(|token| token.labels).unwrap_or_default();
    let labels: Vec<String> = bound.iter().map(|(label, value)| format!("{label}={value}")).collect();
    talk(&format!("made a {what} for `{}` at {}{until}; it is shown only now\n", asked.name, connection.address()));
    if kind == TokenKind::Join && !labels.is_empty() {
        let from = if asked.labels.is_empty() {
            ", as when it joined last; --label gives it others, --own-labels leaves them to the node"
        } else {
            ""
        };
        talk(&format!("`{}` is bound to {}{from}\n", asked.name, labels.join(" ")));
    }
    output::data(answer.token)
}

pub(super) fn list(mut connection: Connection, format: Format) -> Result<(), Failure> {
    let tokens = connection.ask(async |admin| admin.list_tokens(ListTokensRequest {}).await)?.tokens;
    let now = time::now();
    let row = |token: &Token| {
        let ends = time::relative(token.expires_ms, now);
        let ends = if has_ended(token, now) { format!("expired {ends}") } else { ends };
        [
            Field::from(token.name.clone()),
            Field::from(kind(token)),
            Field::from(token.role.clone()),
            Field::new(time::relative(token.created_ms, now), Tone::Quiet),
            Field::new(ends, if has_ended(token, now) { Tone::Bad } else { Tone::Plain }),
            Field::from(token.author.clone()),
            Field::new(token.id.clone(), Tone::Quiet),
        ]
    };
    let header = ["NAME", "KIND", "ROLE", "CREATED", "ENDS", "BY", "ID"];
    let none = "there is no token; `sluice token create NAME` makes one";
    output::list(format, &tokens, none, header, row, |token| value(token, now))
}

pub(super) fn revoke(mut connection: Connection, name: &str, wait: &Wait) -> Result<(), Failure> {
    let request = RevokeTokenRequest { token: name.to_owned() };
    let answer = connection.ask(async |admin| admin.revoke_token(request).await)?;
    match answer.revoked {
        0 => {
            return Err(Failure::other(format_args!(
                "nobody called `{name}` has a token; `sluice token list` shows those there are"
            )));
        }
        1 => talk(&format!("revoked the token of `{name}`\n")),
        count => talk(&format!("revoked {count} tokens of `{name}`\n")),
    }
    // tokens of people and nodes are known to the control plane alone
    if answer.revision == 0 {
        return Ok(());
    }
    wait.on_revocation(&mut connection, answer.revision)?.result()
}

fn kind(token: &Token) -> &'static str {
    match token.kind() {
        TokenKind::Client => "client",
        TokenKind::Person => "person",
        TokenKind::Join => "join",
        TokenKind::Unspecified => "",
    }
}

fn has_ended(token: &Token, now: u64) -> bool {
    token.expires_ms != 0 && token.expires_ms <= now
}

fn value(token: &Token, now: u64) -> Value {
    json!({
        "id": token.id,
        "kind": kind(token),
        "name": token.name,
        "role": token.role,
        "created": time::iso(token.created_ms),
        "expires": time::iso(token.expires_ms),
        "expired": has_ended(token, now),
        "author": token.author,
    })
}
