//! HTTP+SSE as a scripted server carries it: the stream at `/sse`, messages to `/messages?link=N`.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, stream};
use http::{Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;

use super::link::Out;
use super::{Body, Duplex, Link, Posts, State, brain};
use crate::upstream::Received;

type Frames = Pin<Box<dyn Stream<Item = Result<Frame<Bytes>, std::io::Error>> + Send + Sync>>;
type Reply = Response<BoxBody<Bytes, std::io::Error>>;

pub(super) async fn serve(stream: Box<dyn Duplex>, state: Arc<State>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let state = Arc::clone(&state);
        async move { Ok::<_, Infallible>(answer(request, &state).await) }
    });
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

fn whole(status: u16, kind: &str, body: String) -> Reply {
    let body = Full::new(Bytes::from(body)).map_err(|never| match never {}).boxed();
    Response::builder().status(status).header("content-type", kind).body(body).unwrap()
}

async fn answer(request: Request<Incoming>, state: &State) -> Reply {
    let (head, body) = request.into_parts();
    let Ok(body) = body.collect().await else { return whole(400, "text/plain", String::new()) };
    let (verb, path) = (head.method.to_string(), head.uri.to_string());
    let received = Received { verb, path, headers: head.headers, body: body.to_bytes() };
    state.requests.lock().unwrap().push(received.clone());
    let manner = state.manner();
    if let Some(number) = received.path.strip_prefix("/messages?link=") {
        let links = state.links.lock().unwrap().clone();
        let link = number.parse::<usize>().ok().and_then(|number| links.get(number).cloned());
        return match link.filter(|link| link.is_open()) {
            Some(link) => message(&received, &link, &manner).await,
            None => whole(404, "text/plain", "no such session".into()),
        };
    }
    tokio::time::sleep(manner.slow).await;
    if let Some(status) = manner.status {
        let location = if (300..400).contains(&status) { "http://127.0.0.1:1/elsewhere" } else { "" };
        let mut reply = whole(status, "text/plain", String::new());
        reply.headers_mut().insert("location", location.parse().unwrap());
        return reply;
    }
    match received.verb.as_str() {
        "GET" => stream_of(state, &manner),
        _ => whole(manner.streamable, "text/plain", String::new()),
    }
}

fn stream_of(state: &State, manner: &super::Manner) -> Reply {
    let (link, said) = state.link();
    let endpoint = manner.endpoint.unwrap_or("/messages?link={link}").replace("{link}", &link.number.to_string());
    let first = format!("{}event: endpoint\ndata: {endpoint}\n\n", manner.preface);
    let event = manner.event;
    let frames = stream::unfold((Some(first), said, Closing(link)), move |(first, mut said, closing)| async move {
        let bytes = match first {
            Some(first) => first.into_bytes(),
            None => tokio::select! {
                out = said.recv() => match out? {
                    Out::Message(message) => event.replace("{}", &message).into_bytes(),
                    Out::Raw(bytes) => bytes,
                    Out::Close(..) => return None,
                    Out::Ping => b": ping\n\n".to_vec(),
                },
                () = closing.0.ended() => return None,
            },
        };
        Some((Ok(Frame::data(Bytes::from(bytes))), (None, said, closing)))
    });
    let body = BodyExt::boxed(StreamBody::new(Box::pin(frames) as Frames));
    Response::builder().status(StatusCode::OK).header("content-type", "text/event-stream").body(body).unwrap()
}

/// The stream is gone, whoever ended it: so is the connection.
struct Closing(Arc<Link>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.close();
    }
}

async fn message(received: &Received, link: &Arc<Link>, manner: &super::Manner) -> Reply {
    let message = received.message();
    link.take(message.clone());
    if let Posts::Refused(status) = manner.posts {
        return whole(status, "text/plain", "no".into());
    }
    if link.deaf && message["method"] != "initialize" {
        return whole(202, "text/plain", "Accepted".into());
    }
    let answers = brain::answers(link, manner.era, &message);
    match manner.posts {
        Posts::InPlace(kind, body) if !answers.is_empty() => {
            let text: Vec<String> = answers.iter().map(|answer| in_place(answer, body)).collect();
            return whole(200, kind, text.concat());
        }
        _ => answers.iter().for_each(|answer| link.say(answer)),
    }
    if manner.posts == Posts::Held && message.get("method").is_some() && message.get("id").is_some() {
        while link.is_open() && !link.has_answered(&message["id"]) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    whole(202, "text/plain", "Accepted".into())
}

fn in_place(answer: &Value, body: Body) -> String {
    match body {
        Body::Json => answer.to_string(),
        Body::Event => format!("data:{answer}\r\n\r\n"),
    }
}
