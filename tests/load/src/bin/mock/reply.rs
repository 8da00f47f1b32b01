//! Answers, written into a connection's buffer.

use std::io::Write;

/// How results and errors are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// `application/json`
    Json,
    /// `text/event-stream`, one event.
    Event,
    /// A line, without HTTP.
    Line,
}

/// Where answers go.
pub(crate) struct Reply<'o> {
    pub out: &'o mut Vec<u8>,
    pub form: Form,
}

impl Reply<'_> {
    /// A JSON body made of pieces.
    pub(crate) fn json(&mut self, status: &str, session: Option<&[u8]>, pieces: &[&[u8]]) {
        let length: usize = pieces.iter().map(|piece| piece.len()).sum();
        match self.form {
            Form::Line => {
                pieces.iter().for_each(|piece| self.out.extend_from_slice(piece));
                self.out.push(b'\n');
            }
            Form::Event if status == "200 OK" => {
                self.head(status, session, b"Content-Type: text/event-stream\r\nCache-Control: no-cache\r\n");
                const OPEN: &[u8] = b"event: message\ndata: ";
                self.write(format_args!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n", OPEN.len() + length + 2));
                self.out.extend_from_slice(OPEN);
                pieces.iter().for_each(|piece| self.out.extend_from_slice(piece));
                self.out.extend_from_slice(b"\n\n\r\n0\r\n\r\n");
            }
            Form::Json | Form::Event => {
                self.head(status, session, b"Content-Type: application/json\r\n");
                self.write(format_args!("Content-Length: {length}\r\n\r\n"));
                pieces.iter().for_each(|piece| self.out.extend_from_slice(piece));
            }
        }
    }

    /// A status without a body.
    pub(crate) fn empty(&mut self, status: &str) {
        if self.form != Form::Line {
            self.head(status, None, b"Content-Length: 0\r\n\r\n");
        }
    }

    /// A result: `members` without braces.
    pub(crate) fn result(&mut self, id: &str, session: Option<&[u8]>, members: &[&[u8]]) {
        let mut pieces = [&b""[..]; 12];
        pieces[..3].copy_from_slice(&[br#"{"jsonrpc":"2.0","id":"#, id.as_bytes(), br#","result":{"#]);
        let end = 3 + members.len();
        pieces[3..end].copy_from_slice(members);
        pieces[end] = b"}}";
        self.json("200 OK", session, &pieces[..=end]);
    }

    /// An error.
    pub(crate) fn error(&mut self, status: &str, id: Option<&str>, code: i32, text: &str) {
        let id = id.unwrap_or("null");
        let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":{code},"message":"{text}"}}}}"#);
        self.json(status, None, &[body.as_bytes()]);
    }

    /// The head of an event stream that goes on. Proxies that would wait for more are told not to, as servers do.
    pub(crate) fn stream(&mut self) {
        self.head("200 OK", None, b"Content-Type: text/event-stream\r\nX-Accel-Buffering: no\r\n");
        self.out.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
    }

    fn head(&mut self, status: &str, session: Option<&[u8]>, fields: &[u8]) {
        self.out.extend_from_slice(b"HTTP/1.1 ");
        self.out.extend_from_slice(status.as_bytes());
        self.out.extend_from_slice(b"\r\n");
        if let Some(session) = session {
            self.out.extend_from_slice(b"Mcp-Session-Id: ");
            self.out.extend_from_slice(session);
            self.out.extend_from_slice(b"\r\n");
        }
        self.out.extend_from_slice(fields);
    }

    fn write(&mut self, text: std::fmt::Arguments<'_>) {
        // a Vec takes everything
        let _ = self.out.write_fmt(text);
    }
}
