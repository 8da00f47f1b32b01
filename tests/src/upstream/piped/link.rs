//! One connection of a scripted server.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::Value;
use tokio::sync::{Notify, mpsc};

/// A connection: what came, and the way back.
pub struct Link {
    /// Counted from 0, for each server.
    pub number: usize,
    received: Mutex<Vec<Value>>,
    pub(super) parked: Mutex<Vec<Value>>,
    pub(super) asked: Mutex<Vec<Value>>,
    answered: Mutex<Vec<Value>>,
    way: mpsc::UnboundedSender<Out>,
    pub(super) deaf: bool,
    closed: AtomicBool,
    pub(super) pongs: AtomicUsize,
    end: Notify,
}

/// What leaves on a connection.
pub(super) enum Out {
    Message(String),
    Raw(Vec<u8>),
    Ping,
    Close(u16, &'static str),
}

pub(super) type Said = mpsc::UnboundedReceiver<Out>;

impl Link {
    pub(super) fn new(number: usize, deaf: bool) -> (Arc<Self>, Said) {
        let (way, said) = mpsc::unbounded_channel();
        let link = Self {
            number,
            received: Mutex::default(),
            parked: Mutex::default(),
            asked: Mutex::default(),
            answered: Mutex::default(),
            way,
            deaf,
            closed: AtomicBool::new(false),
            pongs: AtomicUsize::new(0),
            end: Notify::new(),
        };
        (Arc::new(link), said)
    }

    /// Says a message.
    pub fn say(&self, message: &Value) {
        if message.get("method").is_none() {
            self.answered.lock().unwrap().push(message["id"].clone());
        }
        let _ = self.way.send(Out::Message(message.to_string()));
    }

    /// Writes bytes of any kind: to an event stream as they are, to a WebSocket as a text frame.
    pub fn raw(&self, bytes: impl Into<Vec<u8>>) {
        let _ = self.way.send(Out::Raw(bytes.into()));
    }

    /// Asks for a sign of life, where the transport knows one.
    pub fn ping(&self) {
        let _ = self.way.send(Out::Ping);
    }

    /// Ends it with a reason, where the transport knows one.
    pub fn say_goodbye(&self, code: u16, reason: &'static str) {
        let _ = self.way.send(Out::Close(code, reason));
    }

    /// How many signs of life came.
    #[must_use]
    pub fn pongs(&self) -> usize {
        self.pongs.load(Ordering::SeqCst)
    }

    /// Everything received so far.
    #[must_use]
    pub fn received(&self) -> Vec<Value> {
        self.received.lock().unwrap().clone()
    }

    /// Whether neither side has ended it.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !self.closed.load(Ordering::SeqCst)
    }

    /// Ends it.
    pub fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.end.notify_one();
    }

    pub(super) fn take(&self, message: Value) {
        self.received.lock().unwrap().push(message);
    }

    pub(super) fn has_answered(&self, id: &Value) -> bool {
        self.answered.lock().unwrap().contains(id)
    }

    /// Waits until this side ends it.
    pub(super) async fn ended(&self) {
        self.end.notified().await;
    }
}
