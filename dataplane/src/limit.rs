//! Every bound of a node that configuration does not move, with its reason. What configuration moves is in
//! [`sluice_snapshot::model::Limits`].

use std::time::Duration;

/// A client must finish its request head in this time; a person's browser needs milliseconds, a dribbling attacker minutes.
pub(crate) const HEAD_READ: Duration = Duration::from_secs(10);
/// A connection that came this short a time ago and was not used has its first request on its way: a node that stops waits for it.
/// Clients connect to ask; some keep connections in advance, which are older.
pub(crate) const FRESH: Duration = Duration::from_secs(1);
/// Longest pause between two pieces of a request body.
pub(crate) const BODY_PAUSE: Duration = Duration::from_secs(10);
/// Longest time a whole request body may take: 4 MiB at 70 KB/s.
pub(crate) const BODY_READ: Duration = Duration::from_secs(60);
/// What is read on and thrown away of a body that is too large, so that the client can read the refusal.
pub(crate) const DISCARD_BYTES: usize = 16 << 20;
/// Longest time for that.
pub(crate) const DISCARD: Duration = Duration::from_secs(2);
/// A client that takes no byte for so long is cut, from the one stream that it does not read where it has several: its buffers belong
/// to others.
pub(crate) const WRITE_STALL: Duration = Duration::from_secs(60);
/// A client whose machine acknowledges nothing for so long is gone (`TCP_USER_TIMEOUT`): its connection is closed, and what a server
/// holds open for it is let go of. Longer than [`WRITE_STALL`], because the system counts slow readers in as well.
pub(crate) const CLIENT_GONE: Duration = Duration::from_secs(75);
/// How long a connection idles before the system asks whether the other machine is there, without which a client that was
/// waiting for events and lost its power would be waited for without end.
pub(crate) const CLIENT_PROBE: Duration = Duration::from_secs(45);
/// Between such questions; the third in vain is the last.
pub(crate) const CLIENT_PROBE_AGAIN: Duration = Duration::from_secs(10);
/// A connection without a request for so long is closed: longer than clients' and balancers' own idle times (60 s).
pub(crate) const CLIENT_IDLE: Duration = Duration::from_secs(75);
/// How often connections, sessions and children are looked over. The error of every idle limit.
pub(crate) const SWEEP: Duration = Duration::from_secs(1);
/// A TLS handshake takes two round trips; ten seconds is a very bad mobile network.
pub(crate) const TLS_HANDSHAKE: Duration = Duration::from_secs(10);
/// Connections per worker; each idle one costs about 10 KB. Beyond it new connections wait in the kernel's queue.
pub(crate) const CONNECTIONS_PER_WORKER: usize = 40_000;
/// Bytes of a request head (HTTP/1 and HTTP/2): a 4 KiB URI and tool parameters mirrored into headers fit.
pub(crate) const HEAD_BYTES: usize = 64 << 10;
/// Bytes read at a time: what a socket's own buffer commonly holds. One such room per worker.
pub(crate) const READ_BYTES: usize = 64 << 10;
/// Rooms to write into that a worker keeps, and how large one may have grown: as many as answers are written at a time.
pub(crate) const ROOMS_KEPT: usize = 16;
/// See [`ROOMS_KEPT`].
pub(crate) const ROOM_KEPT_BYTES: usize = 64 << 10;
/// A body up to this size is copied behind its head and goes with it in one plain write: cheaper than two pieces.
pub(crate) const COPIED_BYTES: usize = 8 << 10;
/// A piece from this size on that many are sent is taken by sockets from a memory file: the copy that saves costs more than the
/// system call it takes.
pub(crate) const FILED_BYTES: usize = 16 << 10;
/// Memory files of a process: a small share of the descriptors it has for connections.
pub(crate) const MEMORY_FILES: usize = 256;
/// Bytes of all of them: the lists of some hundred kinds of clients.
pub(crate) const MEMORY_FILES_BYTES: usize = 32 << 20;
/// Headers of one request.
pub(crate) const HEADERS: usize = 100;
/// Streams one HTTP/2 connection may have open.
pub(crate) const H2_STREAMS: u32 = 256;
/// Bytes of an answer that wait for the window of one such stream: a frame of the size that every client takes (RFC 9113 section
/// 4.2). What its client does not read stays where it is.
pub(crate) const H2_PIECE_BYTES: usize = 16 << 10;
/// Bytes of bodies, held events and mailboxes one node may hold at a time (architecture.md, law 6).
pub(crate) const NODE_BYTES: usize = 256 << 20;
/// A JSON reply up to this size is checked and sent whole, with its length; a larger one streams through.
pub(crate) const REPLY_HOLD: usize = 64 << 10;
/// A JSON reply up to this size is checked to its last byte; of a larger one, what is not read is believed: the client reads it
/// anyway, and a list of a hundred tools would cost as much to check as all the rest of the call.
pub(crate) const REPLY_CHECKED: usize = 8 << 10;
/// Bytes of one event of a server's stream. Results with inlined images stay below; an endless line does not.
pub(crate) const EVENT_BYTES: usize = 16 << 20;
/// Bytes of one line of a child's output; as [`EVENT_BYTES`].
pub(crate) const LINE_BYTES: usize = 16 << 20;
/// Bytes of a child's stderr that go into the log within [`STDERR_WINDOW`]: traces of several failures at once. Beyond it, what is
/// left out is counted: a server that writes without end fills neither the disk nor the log that others are looked for in.
pub(crate) const STDERR_BYTES: usize = 64 << 10;
/// See [`STDERR_BYTES`].
pub(crate) const STDERR_WINDOW: Duration = Duration::from_secs(10);
/// Bytes of one such line; a longer one is broken into several.
pub(crate) const STDERR_LINE_BYTES: usize = 8 << 10;
/// Bytes of a handle value (cursor, task id, request state) inside a streaming reply.
pub(crate) const HANDLE_BYTES: usize = 256 << 10;
/// Bytes of an error or initialize reply of a server that is read whole.
pub(crate) const SMALL_REPLY_BYTES: usize = 1 << 20;
/// Time to reach a server: a SYN is resent after 1 s and 3 s, so two losses are survived.
pub(crate) const CONNECT: Duration = Duration::from_secs(5);
/// An idle upstream connection is kept this long where the server does not say: common servers close theirs at 5 s, and a
/// request written into a closing connection cannot be told from one that ran.
pub(crate) const UPSTREAM_IDLE: Duration = Duration::from_secs(4);
/// Idle upstream connections kept per server and worker.
pub(crate) const UPSTREAM_IDLE_CONNECTIONS: usize = 256;
/// A request may make progress for at most this long in all.
pub(crate) const CALL_ABSOLUTE: Duration = Duration::from_secs(3600);
/// A probe for a server's era: longer than a cold start of a hosted function, shorter than a person's patience.
pub(crate) const PROBE: Duration = Duration::from_secs(10);
/// Messages of one batch (2025-03-26): clients gather a handful; each takes a place of its client's, and all are answered at once.
pub(crate) const BATCH_MESSAGES: usize = 50;
/// What was learnt of a legacy server is asked again after this long, should it have been upgraded meanwhile.
pub(crate) const ERA_MEMORY: Duration = Duration::from_secs(60);
/// What refused `server/discover` and `initialize` is not asked for its era again for this long: meanwhile a request to it is one
/// request, not four. A server that is being deployed is found soon after it is there.
pub(crate) const ERA_REFUSED: Duration = Duration::from_secs(2);
/// How often a stream looks whether the store answers, one question apart, should its node have stood still meanwhile. Beyond it (3 s) the
/// store is taken to be away, for everybody.
pub(crate) const STREAM_PAUSES: u32 = 12;
/// Standing streams of a session that stay open at a node beside its newest: an SDK opens one more now and then and keeps the one it has.
/// A further one is refused, as the SDKs' servers refuse any; one that comes back ends the oldest of them, whose client is likely gone.
pub(crate) const STREAMS_ASIDE: usize = 3;
/// How long a standing stream is asked for again that the server says is open already: the node that had it lets go within a moment,
/// and a server notices within some hundred milliseconds. Clients wait longer for an answer.
pub(crate) const STREAM_CONFLICT: Duration = Duration::from_secs(5);
/// First pause between; doubles up to the last.
pub(crate) const STREAM_CONFLICT_FIRST: Duration = Duration::from_millis(10);
/// Longest such pause.
pub(crate) const STREAM_CONFLICT_LAST: Duration = Duration::from_millis(160);
/// A stream of a session whose server does not number its events gets ids of ours once it is older: most are over by then, and cost
/// nothing.
pub(crate) const RESUMABLE_AFTER: Duration = Duration::from_secs(1);
/// Bytes kept of one such stream for its client to come back for: minutes of progress and log messages, or a picture.
pub(crate) const RING_BYTES: usize = 1 << 20;
/// What keeping an event takes beside its text.
pub(crate) const RING_EVENT_BYTES: usize = 128;
/// Streams of one session that are kept at a time; those beyond get no ids: more than a busy agent has calls of a second.
pub(crate) const RINGS_PER_SESSION: usize = 64;
/// Nothing more is kept where more than this of [`NODE_BYTES`] is taken: what passes needs its room.
pub(crate) const RINGS_ROOM: usize = NODE_BYTES / 2;
/// How long the answer to a call is kept whose client is away: a laptop is opened again, a network changed.
pub(crate) const RING_KEPT: Duration = Duration::from_secs(300);
/// The same once it was passed on: its last bytes may have been lost with the connection, which a client notices soon.
pub(crate) const RING_PASSED_ON: Duration = Duration::from_secs(30);
/// How long a standing stream goes on without its client: common clients come back after 1 s or 3 s. Until then the server
/// cannot be asked for another.
pub(crate) const RING_STANDING: Duration = Duration::from_secs(5);
/// Bytes of a request's raw id that an event id has room for; the answer to one with a longer id cannot be resumed.
pub(crate) const RING_REQUEST_BYTES: usize = 256;
/// Characters of an event id of ours: clients send it in a header field, and keep it.
pub(crate) const EVENT_ID_CHARS: usize = 512;
/// Which tool parameters are mirrored into headers is listed again after this long; a mismatch asks at once.
pub(crate) const TOOLS_MEMORY: Duration = Duration::from_secs(60);
/// Pages of one list: a server whose cursors never end is not followed further.
pub(crate) const LIST_PAGES: usize = 1000;
/// A server ends its stream after the answer; one that does not is not waited for.
pub(crate) const AFTER_ANSWER: Duration = Duration::from_millis(500);
/// Pause between comments on a quiet stream: below the 30 s and 60 s idle times of common balancers.
pub(crate) const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Connections one WebSocket or HTTP+SSE server may have open from a node: each costs some 50 KB on both sides, where a
/// process costs megabytes.
pub(crate) const CONNECTIONS_PER_SERVER: usize = 4096;
/// Of these, connections of one principal's sessions.
pub(crate) const CONNECTIONS_PER_PRINCIPAL: usize = 1024;
/// Time for a WebSocket or event stream to open, once there is a connection: longer than a cold start of a hosted function.
pub(crate) const STREAM_OPEN: Duration = Duration::from_secs(30);
/// Bytes of the address an HTTP+SSE server names for messages: what common servers take of a URL.
pub(crate) const ENDPOINT_BYTES: usize = 8 << 10;
/// Messages on their way to one HTTP+SSE server at a time, each a POST: a server may answer a POST only after the call.
pub(crate) const POSTS: usize = 64;
/// A POST that must not overtake others waits for their answers, but no longer than this: a server that answers a POST only
/// after the call must still hear that the call is cancelled.
pub(crate) const POST_ORDER: Duration = Duration::from_millis(500);
/// A connection from which nothing came for so long is asked for a sign of life: below the 60 s after which common proxies
/// close a silent connection.
pub(crate) const SILENCE: Duration = Duration::from_secs(30);
/// Least time for that sign to come.
pub(crate) const SIGN_OF_LIFE: Duration = Duration::from_secs(5);
/// Time for a stdio server to answer its first message: `npx` may first have to fetch a package.
pub(crate) const CHILD_START: Duration = Duration::from_secs(60);
/// Time for a stdio server to answer the probe for its era, cold start included.
pub(crate) const CHILD_PROBE: Duration = Duration::from_secs(30);
/// Time for a child to leave by itself once its input is closed, and again after SIGTERM.
pub(crate) const CHILD_GRACE: Duration = Duration::from_secs(2);
/// First pause before a crashed stdio server is started again; doubles with each failure.
pub(crate) const CHILD_BACKOFF_FIRST: Duration = Duration::from_millis(500);
/// Longest pause between two starts of a process.
pub(crate) const CHILD_BACKOFF_MAX: Duration = Duration::from_secs(30);
/// Longest pause between two connections to a WebSocket or HTTP+SSE server: to try costs little, and a server that restarts
/// is back within seconds.
pub(crate) const CONNECTION_BACKOFF_MAX: Duration = Duration::from_secs(2);
/// A child that lived this long was healthy: its end starts the backoff anew.
pub(crate) const CHILD_HEALTHY: Duration = Duration::from_secs(10);
/// Messages waiting to be written to one child.
pub(crate) const CHILD_QUEUE: usize = 1024;
/// Bytes that may wait for one caller of a child; a caller that takes nothing is cut beyond it.
pub(crate) const OUTBOX_BYTES: usize = 4 << 20;
/// Messages kept for a session that has no stream open to take them.
pub(crate) const BACKLOG_MESSAGES: usize = 64;
/// Bytes of such messages.
pub(crate) const BACKLOG_BYTES: usize = 256 << 10;
/// Requests of a server to one client waiting for their answer.
pub(crate) const ASKED: usize = 256;
/// Cancelled requests of one session whose calls have not noticed yet: more than a client has in flight at once.
pub(crate) const CANCELLED: usize = 64;
/// Tasks of one server whose owners are remembered.
pub(crate) const TASKS: usize = 10_000;
/// Progress tokens of tasks remembered per child.
pub(crate) const TASK_TOKENS: usize = 1024;
/// Bytes of an `initialize`: it is kept as long as its session. Capabilities with extensions take a few KB.
pub(crate) const INITIALIZE_BYTES: usize = 64 << 10;
/// Bytes of a `logging/setLevel` or `resources/subscribe` that are restored after a server forgot its session; longer ones
/// pass and are not restored.
pub(crate) const REMEMBERED_BYTES: usize = 4 << 10;
/// Resources one session may be subscribed to.
pub(crate) const SUBSCRIPTIONS: usize = 1024;
/// A sealed `requestState` is good for this long: a person may take their time to answer.
pub(crate) const REQUEST_STATE: Duration = Duration::from_secs(3600);
/// Streams (GET and `subscriptions/listen`) one principal may have open.
pub(crate) const STREAMS_PER_PRINCIPAL: u32 = 20_000;
/// Messages of a client on an event stream that were accepted and not yet taken up: a burst of a busy agent. Beyond it 503.
pub(crate) const MAILBOX_MESSAGES: usize = 256;
/// Bytes waiting for one client on a pipe (stdio, WebSocket, HTTP+SSE); beyond it whoever produces them waits. A large
/// message is taken alone.
pub(crate) const OUTBOX_WAITING: usize = 256 << 10;
/// A WebSocket that is silent for so long is pinged: below the 30 s and 60 s idle times of common balancers.
pub(crate) const WEBSOCKET_PING: Duration = Duration::from_secs(15);
/// Time for the pong, or for anything else: a very bad mobile network.
pub(crate) const WEBSOCKET_PONG: Duration = Duration::from_secs(10);
/// Time for a client to notice that a WebSocket is closed, before its connection is.
pub(crate) const WEBSOCKET_CLOSE: Duration = Duration::from_secs(2);
/// Bytes of a WebSocket's read buffer: idle connections are many, messages mostly small.
pub(crate) const WEBSOCKET_BUFFER: usize = 4 << 10;
/// A client whose WebSocket broke may come back for its session within this time: a change of networks, a balancer that restarts, a page
/// that reloads. Its processes wait for it as long.
pub(crate) const WEBSOCKET_RESUMED: Duration = Duration::from_secs(60);
/// Bytes that go to such a client before it confirms some (by its pongs): what a broken connection can have swallowed is kept.
pub(crate) const WEBSOCKET_UNCONFIRMED: usize = 256 << 10;
/// Time for an older connection to let go of a session that a newer one takes: it is told at once.
pub(crate) const WEBSOCKET_HANDED_OVER: Duration = Duration::from_secs(2);
/// Bytes of an unfinished WebSocket message that are not counted in the node's byte budget.
pub(crate) const WEBSOCKET_UNCOUNTED: usize = 16 << 10;
/// After a stop signal, calls in flight have this long to finish. Connections by an address that was closed may idle for as long
/// before they are.
pub(crate) const DRAIN: Duration = Duration::from_secs(20);
/// Workers stop accepting within this time when the node stops; they have nothing else to do for as long.
pub(crate) const LISTENERS_END: Duration = Duration::from_secs(2);
/// How often is looked whether what the configuration has no more is still used by calls that are under way.
pub(crate) const LETTING_GO: Duration = Duration::from_millis(100);
/// At the end, servers are told that their sessions are over, for at most this long.
pub(crate) const SESSIONS_END: Duration = Duration::from_secs(2);
/// Sessions ended at a time.
pub(crate) const SESSIONS_ENDING: usize = 64;
/// A process that takes the place of another is told the sockets within this time: the other one has them at hand.
pub(crate) const HANDOVER_ANSWER: Duration = Duration::from_secs(5);
/// How long the other one waits for it to serve: it may have to start from nothing, with a control plane far away.
pub(crate) const HANDOVER_READY: Duration = Duration::from_secs(60);
/// Between readiness going off and listeners closing, so that balancers see it first.
pub(crate) const DRAIN_LEAD: Duration = Duration::from_millis(500);
/// Bytes of the access log that wait for the writer, of each worker; beyond it lines are counted as lost, traffic goes on. A
/// twentieth of a second at 80,000 requests a second, five times as long as the writer pauses.
pub(crate) const LOG_PAGE_BYTES: usize = 1 << 20;
/// Room for them that stays when there are fewer again: a pause at 100,000 requests a second.
pub(crate) const LOG_PAGE_KEPT: usize = 256 << 10;
/// Lines of the access log that go to stderr in one piece: a pipe's room.
pub(crate) const LOG_WRITE_BYTES: usize = 60 << 10;
/// Times that the writer may be called before it comes: once by each worker, and by whoever wants all of it written.
pub(crate) const LOG_BELLS: usize = 1_024;
/// Spans that wait for the exporter; beyond it they are counted as lost. A second of 8,000 recorded requests.
pub(crate) const SPAN_QUEUE: usize = 8_192;
/// Spans of one export: some 200 KB, far below the 4 MiB that collectors take.
pub(crate) const SPAN_BATCH: usize = 512;
/// How long spans are gathered while there are fewer.
pub(crate) const SPAN_PAUSE: Duration = Duration::from_millis(500);
/// A collector answers an export in this time; it is the default of OTLP exporters.
pub(crate) const SPAN_EXPORT: Duration = Duration::from_secs(10);
/// Pause before the one more try that a batch gets.
pub(crate) const SPAN_RETRY: Duration = Duration::from_secs(1);
/// How long the end of a node waits for its last spans to be sent.
pub(crate) const SPAN_FLUSH: Duration = Duration::from_secs(2);
/// How long the access log's writer gathers lines when they come faster than this: at most 100 wake-ups a second, and
/// pages that have room for 400,000 lines a second in between.
pub(crate) const LOG_PAUSE: Duration = Duration::from_millis(10);
/// How long a stopping node waits for its last lines to be written: stderr may be a pipe that nobody reads.
pub(crate) const LOG_FLUSH: Duration = Duration::from_secs(1);
/// Principals whose limits are remembered.
pub(crate) const PRINCIPALS: usize = 100_000;
/// Kinds of principals by policies whose view of a plane is kept: more than a fleet has combinations of roles in use; some 100
/// bytes for each server in reach. Beyond it, all are made again as they are needed.
pub(crate) const VIEWS: usize = 512;
/// Principals whose kind is remembered.
pub(crate) const VIEWED: usize = 100_000;
/// Verdicts kept per kind of principal, by name: what it uses of all servers. Names that clients make up come here as well, so
/// it is emptied when it is full.
pub(crate) const VERDICTS: usize = 8_192;
/// Longest name whose verdict is kept.
pub(crate) const VERDICT_NAME_BYTES: usize = 512;
/// Counts of limits kept. Beyond it, those are forgotten that would be the same anew.
pub(crate) const METERS: usize = 100_000;
/// How long denials of one kind are counted before the count is told: a flood is two lines of the audit log a minute.
pub(crate) const DENIALS_WINDOW: Duration = Duration::from_secs(60);
/// Kinds of denials told apart at a time: with twice as many lines a minute an audit log can live.
pub(crate) const DENIALS: usize = 256;
/// Kinds told apart of one principal, or of all who do not come in, the others being counted together: who tries everything leaves
/// others their room.
pub(crate) const DENIALS_OF_ONE: usize = 32;
/// Lines about denials kept until the control plane has heard them, some hundred bytes each: days of the ordinary, minutes of a flood.
pub(crate) const DENIALS_KEPT: usize = 4_096;
/// Lines said at a time: one transaction of the control plane.
pub(crate) const DENIALS_AT_ONCE: usize = 256;
/// Audiences whose lists are kept per server: as many kinds of clients as a fleet has, or principals where a server's lists are
/// private. Beyond it, the half of those nobody watches that was not needed for longest is fetched again when it is needed.
pub(crate) const AUDIENCES: usize = 256;
/// Whole answers to lists kept per server for its own door: four kinds for each of as many sorts of clients as a fleet has.
pub(crate) const ANSWERS: usize = 128;
/// No answer is kept where more than this of [`NODE_BYTES`] is taken: what is kept must leave room for what passes.
pub(crate) const ANSWERS_ROOM: usize = NODE_BYTES / 4;
/// Bytes of one such answer: a larger one passes as it comes.
pub(crate) const ANSWER_BYTES: usize = REPLY_HOLD;
/// How long a server's own door answers from what it keeps while the server is watched. Some servers say that they tell of
/// changes and forget to: they are seen within a minute.
pub(crate) const ANSWER_WATCHED: Duration = Duration::from_secs(60);
/// Lists that go to an unwatched server before it is watched: a client that lists once or twice is not worth a session and a
/// stream.
pub(crate) const WATCH_WORTH: u32 = 8;
/// The time within which they must come.
pub(crate) const WATCH_WORTH_WITHIN: Duration = Duration::from_secs(60);
/// A watch ends when nobody has listed for so long.
pub(crate) const WATCH_IDLE: Duration = Duration::from_secs(300);
/// Pause after a watch that ended or could not be opened: a server without such a stream is not asked all the time.
pub(crate) const WATCH_AGAIN: Duration = Duration::from_secs(60);
/// Offers (all lists of a door, as some see them) kept per node: four kinds of lists for as many sorts of clients as a fleet
/// has. What is serialised is there once for all who see the same.
pub(crate) const OFFERS: usize = 1_024;
/// How long a list is good without asking, of a server that has an open stream to say that it changed.
pub(crate) const CATALOGUE_WATCHED: Duration = Duration::from_secs(3600);
/// The same where there is no such stream, and the server does not say how long: a new tool is there within a minute.
pub(crate) const CATALOGUE_UNWATCHED: Duration = Duration::from_secs(60);
/// After a server's lists could not be fetched, it is asked again after this pause, which doubles up to the last.
pub(crate) const CATALOGUE_RETRY_FIRST: Duration = Duration::from_millis(500);
/// Longest such pause: a server that is back is noticed within half a minute.
pub(crate) const CATALOGUE_RETRY_LAST: Duration = Duration::from_secs(30);
/// Bytes of one page of a list: above 10,000 tools of ordinary size, because not every client asks for a second page.
pub(crate) const LIST_PAGE_BYTES: usize = 8 << 20;
/// Bytes of all pages of one server's list.
pub(crate) const LIST_BYTES: usize = 64 << 20;
/// How long a list waits for servers that were never listed before: a cold start of `npx` or `uvx` takes several seconds.
/// What comes later is announced.
pub(crate) const LIST_WAIT: Duration = Duration::from_secs(15);
/// How long `initialize` and `server/discover` of the merged door wait for servers that are not known yet.
pub(crate) const OPENING_WAIT: Duration = Duration::from_secs(5);
/// How long `server/discover` waits for processes that are started for it: a client does not come back from the era it chose then, and
/// one that knows no other ends. Below the 10 s that Python's SDK waits.
pub(crate) const DISCOVERY_WAIT: Duration = Duration::from_secs(8);
/// Servers asked at a time on behalf of one request: starts of processes come in moderate numbers.
pub(crate) const ASKED_AT_A_TIME: usize = 8;
/// Requests in flight of one merged session whose server is noted for a cancellation.
pub(crate) const IN_FLIGHT_NOTED: usize = 4096;
/// The same where all were listed before: what was shown then may be shown on.
pub(crate) const LIST_REFRESH_WAIT: Duration = Duration::from_secs(5);
/// How long clients may keep what `server/discover` of the merged door says.
pub(crate) const DISCOVERY_TTL: Duration = Duration::from_secs(60);
/// Messages of several servers waiting for the client's one stream; beyond it the servers wait.
pub(crate) const GATHERED: usize = 32;
/// A server's stream that ended is opened again after this pause, which doubles up to the last.
pub(crate) const GATHER_RETRY_FIRST: Duration = Duration::from_millis(500);
/// Longest such pause.
pub(crate) const GATHER_RETRY_LAST: Duration = Duration::from_secs(30);
/// How long one server may take to answer what all are told.
pub(crate) const EVERYBODY: Duration = Duration::from_secs(5);
/// Characters of an unknown name, or of a server's own words, that an error repeats: enough to recognise them.
pub(crate) const SHOWN_NAME_CHARS: usize = 200;
/// Requests in a row that a server left unanswered, before further ones are refused at once.
pub(crate) const BREAKER_FAILURES: u32 = 3;
/// How long they are refused, before one is let through to see; doubles up to the last.
pub(crate) const BREAKER_PAUSE_FIRST: Duration = Duration::from_secs(1);
/// Longest such pause: a server that is back is noticed within half a minute.
pub(crate) const BREAKER_PAUSE_LAST: Duration = Duration::from_secs(30);
/// Longest time for which one of several endpoints gets no requests: a machine that was taken away for an hour is found within
/// minutes.
pub(crate) const EJECTION_PAUSE_LAST: Duration = Duration::from_secs(300);
/// An endpoint that fails again within this time was not well: its pauses go on growing.
pub(crate) const EJECTION_MEMORY: Duration = Duration::from_secs(60);
/// Over this time retries are counted.
pub(crate) const RETRY_WINDOW: Duration = Duration::from_secs(10);
/// Retries per window beyond the configured share: where there is little traffic, a share of it is nothing, and an endpoint that
/// goes away fails a handful at once.
pub(crate) const RETRIES_FREE: u64 = 100;
/// Endpoints that left a server's configuration, and are still told of sessions that end there.
pub(crate) const ENDPOINTS_LEFT: usize = 16;
/// Time to reach one of several endpoints, when another may be asked instead: one lost SYN is survived.
pub(crate) const CONNECT_ELSEWHERE: Duration = Duration::from_secs(2);
/// How long requests that have nowhere else to go wait for the one that finds out whether an endpoint is back: one that is well
/// answers in far less, also when it is busy, and whoever waited in vain may come again.
pub(crate) const TRIAL: Duration = Duration::from_secs(3);
/// A connection that is not there after this long was swallowed rather than refused.
pub(crate) const SWALLOWED: Duration = Duration::from_secs(1);
/// Pause between two times that a client is told that lists changed: what changes in between is told once.
pub(crate) const CHANGES_PAUSE: Duration = Duration::from_millis(500);
/// A JSON reply up to this size is held where links to resources in it may have to change, however deep they stand; in a
/// larger one they are found by place while it streams through.
pub(crate) const LINKS_HOLD: usize = 16 << 20;
/// Clashes of names that are remembered as told.
pub(crate) const CLASHES: usize = 10_000;
/// How long the merged door takes all its servers for modern once they were found to be: no request looks at each.
pub(crate) const DOOR_MEMORY: Duration = Duration::from_secs(10);
/// How long requests wait for a server that did not answer before: it is found out about in the background.
pub(crate) const LIST_AGAIN_WAIT: Duration = Duration::from_millis(500);
/// A server tells each of its streams that its lists changed; the copies come in within this time and are told as one.
pub(crate) const CHANGES_COPIES: Duration = Duration::from_millis(50);
/// How often a `subscriptions/listen` looks for servers that were missing.
pub(crate) const MISSED_LOOK: Duration = Duration::from_secs(5);
/// A child unused for this long may be ended when its place is needed: its session opens one again at its next request.
pub(crate) const CHILD_YIELDS: Duration = Duration::from_secs(1);
/// The same where it belongs to another principal.
pub(crate) const CHILD_YIELDS_TO_OTHERS: Duration = Duration::from_secs(60);
/// How long the acknowledgement of a `subscriptions/listen` over several servers waits for theirs: one that comes later is
/// looked at again when it is there.
pub(crate) const LISTEN_WAIT: Duration = Duration::from_secs(2);
/// How long an opening waits for its turn; beyond it, others that hang are not waited for.
pub(crate) const TURN_WAIT: Duration = Duration::from_secs(2);
/// Bytes of one message of the push stream: digests and faults of ten thousand servers fit, pieces of chunks are far smaller.
pub(crate) const UPLINK_MESSAGE_BYTES: usize = 64 << 20;
/// Messages to the control plane that wait to be sent: a verdict, a report, and room for the next of each.
pub(crate) const UPLINK_QUEUE: usize = 4;
/// First pause before a control plane that did not answer is tried again; doubles up to the last.
pub(crate) const UPLINK_RETRY_FIRST: Duration = Duration::from_millis(200);
/// Longest such pause: a control plane that is back is found within seconds, and a fleet asks it a few times a second.
pub(crate) const UPLINK_RETRY_LAST: Duration = Duration::from_secs(5);
/// A connection that lived this long was good: the next pause is the first one again.
pub(crate) const UPLINK_STEADY: Duration = Duration::from_secs(10);
/// How often a control plane that says nothing is asked whether it is there, and how long it may take to answer: a half-open
/// connection is noticed within 20 s.
pub(crate) const UPLINK_PING: Duration = Duration::from_secs(10);
/// See [`UPLINK_PING`].
pub(crate) const UPLINK_PONG: Duration = Duration::from_secs(8);
/// How often a certificate that is not due yet is looked at, and one whose renewal failed is tried again: clocks are set, and
/// machines sleep.
pub(crate) const RENEWAL_LOOK: Duration = Duration::from_secs(600);
/// When clients may come again to a node that has no configuration yet: it is connected and served within seconds.
pub(crate) const NOT_READY_RETRY: Duration = Duration::from_secs(5);
/// Items of one server that a control plane is told by name: more than people look through, and as many as a fleet is built for.
pub(crate) const INVENTORY_ITEMS: usize = 10_000;
/// Bytes of them: the message stays far below what gRPC peers take, and a thousand such servers are a rare fleet.
pub(crate) const INVENTORY_BYTES: usize = 4 << 20;
/// Characters of an item's title there, and of its description: a line each.
pub(crate) const INVENTORY_TITLE_CHARS: usize = 80;
/// See [`INVENTORY_TITLE_CHARS`].
pub(crate) const INVENTORY_DESCRIPTION_CHARS: usize = 200;
/// How long a node that ends waits until the control plane has heard its last report: some round trips, far away.
pub(crate) const UPLINK_FAREWELL: Duration = Duration::from_secs(1);
/// How long who may come in may take to be on the disk before the control plane hears that it counts, which it does: a disk that
/// hangs leaves time to hear of a revocation within a second.
pub(crate) const ENTITLED_KEPT: Duration = Duration::from_millis(500);
/// How often the control plane is told how the node is.
pub(crate) const REPORT: Duration = Duration::from_secs(5);

/// A request to an authorization server, from the connection to the end of its answer.
pub(crate) const TOKEN_REQUEST: Duration = Duration::from_secs(10);
/// Bytes of an authorization server's answer: tokens and metadata take a few thousand.
pub(crate) const TOKEN_ANSWER_BYTES: usize = 128 << 10;
/// A token is asked for anew so long before it expires, or a quarter of its life: time for a few tries.
pub(crate) const TOKEN_LEEWAY: Duration = Duration::from_secs(60);
/// A token is not shown any more so long before it expires, or in the last tenth of its life: the request has to arrive with it.
pub(crate) const TOKEN_MARGIN: Duration = Duration::from_secs(5);
/// How long a token is good whose life nobody tells.
pub(crate) const TOKEN_LIFETIME: Duration = Duration::from_secs(3600);
/// Longest time without asking for a new token: what was revoked is noticed by its refusal, what was narrowed is not.
pub(crate) const TOKEN_LIFETIME_MAX: Duration = Duration::from_secs(24 * 3600);
/// First pause after no token was to be had; doubles with each failure.
pub(crate) const TOKEN_BACKOFF_FIRST: Duration = Duration::from_millis(500);
/// Longest pause between two tries.
pub(crate) const TOKEN_BACKOFF_MAX: Duration = Duration::from_secs(30);
/// A server that refuses every token makes us ask for a new one no more often.
pub(crate) const TOKEN_REFUSED_PAUSE: Duration = Duration::from_secs(5);
/// Bytes of a token: those of large organisations name hundreds of groups and take about 8 KB.
pub(crate) const TOKEN_BYTES: usize = 16 << 10;
/// A time further away than this is none: ten thousand years after 1970, beyond what anybody means by never.
pub(crate) const FAR_FUTURE: Duration = Duration::from_secs(10_000 * 365 * 86_400);
/// Credentials of which a worker remembers the digests: 32 KB. Of more clients than that, some cost SHA-256 again.
pub(crate) const CREDENTIAL_DIGESTS: usize = 512;
/// Tokens a worker remembers to have verified: about 0.5 KB each. Beyond it they are verified again (some 50 µs).
pub(crate) const TOKENS_VERIFIED: usize = 4096;
/// Requests that wait for keys of one issuer; beyond it they are answered at once.
pub(crate) const TOKENS_WAITING: usize = 1024;
/// Keys in an issuer's set: large ones have about ten.
pub(crate) const KEYS: usize = 256;
/// Bytes of such a set; certificates are often among them.
pub(crate) const KEYS_BYTES: usize = 512 << 10;
/// Bytes of the name of a key.
pub(crate) const KEY_NAME_BYTES: usize = 256;
/// Keys tried on one signature that does not name its own.
pub(crate) const KEYS_TRIED: usize = 4;
/// Time for an issuer's keys to come, its metadata included.
pub(crate) const KEYS_FETCH: Duration = Duration::from_secs(10);
/// Redirects followed on the way to them.
pub(crate) const KEYS_REDIRECTS: u32 = 3;
/// How long a request waits for them: shorter than clients' own patience.
pub(crate) const KEYS_WAIT: Duration = Duration::from_secs(5);
/// Keys are fetched again after this long: one that an issuer withdrew is good for no longer.
pub(crate) const KEYS_REFRESH: Duration = Duration::from_secs(300);
/// Least time between two fetches, however many tokens name keys that are not known: a new key is seen within it, and an issuer
/// does not notice six requests a minute.
pub(crate) const KEYS_PAUSE: Duration = Duration::from_secs(10);
/// First pause after keys could not be had; doubles up to the last.
pub(crate) const KEYS_RETRY_FIRST: Duration = Duration::from_secs(1);
/// Longest such pause.
pub(crate) const KEYS_RETRY_LAST: Duration = Duration::from_secs(60);
/// Keys that could not be renewed for so long are not used further (architecture.md: a week without anybody).
pub(crate) const KEYS_KEPT: Duration = Duration::from_secs(7 * 86_400);
/// A command to what keeps sessions, from its being sent to its answer: with what is around it, a client has its verdict within
/// 300 ms.
pub(crate) const STORE_DEADLINE: Duration = Duration::from_millis(250);
/// How long after a node began to change a session it takes what it hears of a change for its own: the command's answer has come by
/// then or never does. What somebody else changed meanwhile is found out as soon as the store answers.
pub(crate) const OWN_CHANGE_TOLD: Duration = STORE_DEADLINE;
/// Time for a connection to it to stand, TLS and names included.
pub(crate) const STORE_CONNECT: Duration = Duration::from_millis(500);
/// Time for a sentinel, or a node of a cluster, to say where Redis is: three of them are asked within the time for a connection.
pub(crate) const SENTINEL: Duration = Duration::from_millis(150);
/// How often sentinels are asked whether they name another Redis: what is written to the one from before is lost, for as long
/// as nobody asks.
pub(crate) const SENTINEL_LOOK: Duration = Duration::from_millis(250);
/// How often it is asked whether it is there.
pub(crate) const STORE_PING: Duration = Duration::from_millis(250);
/// Silent for so long (two questions), it is not asked anything else: nobody waits for what will not come.
pub(crate) const STORE_SILENT: Duration = Duration::from_millis(600);
/// Commands that wait for an answer at a time; those beyond are refused, not queued.
pub(crate) const STORE_COMMANDS: usize = 1024;
/// How often a cluster is asked which of its masters has what, where nobody was sent elsewhere: a replica that took its
/// master's place is found within a second.
pub(crate) const CLUSTER_LOOK: Duration = Duration::from_secs(1);
/// First pause before a connection is tried again; doubles up to the last.
pub(crate) const STORE_RETRY_FIRST: Duration = Duration::from_millis(50);
/// Longest such pause: a store that is back is used again within a second, connecting included.
pub(crate) const STORE_RETRY_LAST: Duration = Duration::from_millis(250);
/// Longest pause before another connection is tried while the one there is leads to a Redis that takes no writes: it is read from,
/// and one that takes writes is found within a second or so.
pub(crate) const STORE_LOOK_LAST: Duration = Duration::from_secs(1);
/// Sessions named in one round trip: some 20 KB.
pub(crate) const STORE_BATCH: usize = 500;
/// How long a copy of a session is good after the store was heard last: the time in which the end of a session, and whatever
/// else is changed of it, holds on every node.
pub(crate) const COPY_GOOD: Duration = Duration::from_secs(1);
/// How long sessions that are at hand go on while the store does not answer: a restart, a failover; not a day.
pub(crate) const COPY_HELD_OVER: Duration = Duration::from_secs(30);
/// Times a change of a session is tried again because somebody else was faster: a session is one client's, who says a few things at
/// a time.
pub(crate) const STATE_TRIES: usize = 16;
/// Longest time between a use of a session and the note of it in the store. A quarter of what a session may idle, if that is shorter.
pub(crate) const USE_NOTED: Duration = Duration::from_secs(60);
/// Time for a node to find that a session idled everywhere: some sweeps, should one be late.
pub(crate) const IDLE_NOTICED: Duration = Duration::from_secs(5);
/// A session is over at this age, used or not: keys and configurations have turned over since, and a client begins another unasked.
pub(crate) const SESSION_AGE: Duration = Duration::from_secs(30 * 86_400);
/// Sessions of one answer to people who ask for them: some 300 KB.
pub(crate) const SESSIONS_LISTED: u32 = 1_000;
/// Sessions listed where nobody says how many.
pub(crate) const SESSIONS_USUAL: u32 = 100;
/// How long one answer looks through what is kept; the next goes on where it ended. A tenth of the patience of whoever asks is left.
pub(crate) const SESSIONS_LOOKED: Duration = Duration::from_secs(1);
/// Sessions that a store names for that, in 160 KB: those that are next in order, of however many there are.
pub(crate) const SESSIONS_NAMED: usize = 10_000;
/// Names of sessions a store gives at a time: a millisecond of Redis, which does nothing else meanwhile.
pub(crate) const SESSIONS_SCANNED: usize = 1_000;
/// Bytes of a request to the admin port: a thousand ids of sessions.
pub(crate) const ADMIN_BYTES: usize = 64 << 10;
/// Characters told of what a client calls itself.
pub(crate) const CLIENT_NAME_CHARS: usize = 80;
/// Questions about sessions that a node answers at a time; whoever asks beyond is told so.
pub(crate) const SESSION_QUESTIONS: usize = 4;
/// When clients may come again whose sessions cannot be looked up.
pub(crate) const STORE_RETRY_AFTER: u32 = 1;

/// How long a link to another node may take to come about: some round trips. Whoever waits for more is better told to come again.
pub(crate) const LINK_CONNECT: Duration = Duration::from_secs(1);
/// How soon a node that could not be reached is dialled again: whoever comes meanwhile is told at once.
pub(crate) const LINK_RETRY: Duration = Duration::from_millis(500);
/// How long a node that starts is not ready because others do not let it in yet: the control plane tells them within some 200 ms.
/// Without one, and where a node hangs, it is ready all the same.
pub(crate) const LINK_WELCOME: Duration = Duration::from_millis(1_500);
/// How soon a node that did not let this one in is asked again.
pub(crate) const LINK_WELCOME_AGAIN: Duration = Duration::from_millis(50);
/// Nodes asked at a time whether they let this one in.
pub(crate) const LINK_WELCOMES: usize = 32;
/// How long sessions of a node that nobody has told of may be of one that has just joined: clients are told to come again. As long as
/// such a node waits for the others.
pub(crate) const STRANGER: Duration = LINK_WELCOME;
/// Homes remembered that no node has: those of a fleet that was exchanged as a whole. Of others, sessions are over at once.
pub(crate) const STRANGERS: usize = 256;
/// How often a node that says nothing is asked whether it is there, and how long it may take to answer: one that is gone without a
/// word is noticed within 2 s.
pub(crate) const LINK_PING: Duration = Duration::from_millis(700);
/// See [`LINK_PING`].
pub(crate) const LINK_PONG: Duration = Duration::from_millis(1_000);
/// How long a link stays on which nothing is asked.
pub(crate) const LINK_IDLE: Duration = Duration::from_secs(60);
/// Exchanges at a time on one link; beyond it, another one is made.
pub(crate) const LINK_STREAMS: u32 = 256;
/// Bytes of an answer that are on their way over a link or wait for a client that reads slowly: what the round trip of a network of
/// machines takes, and with all streams of a link 16 MiB, so that slow ones hold up nobody else.
pub(crate) const LINK_WINDOW: u32 = 64 << 10;
/// Links of a worker to one node: with [`LINK_STREAMS`], as many streams as a worker has connections.
pub(crate) const LINKS_PER_NODE: usize = 64;
/// Links that other nodes may have open at a time to one worker: those of a large fleet, and handshakes of strangers are few beside.
pub(crate) const LINKS_TAKEN: usize = 4_096;
/// How long after its end a node's certificate is good for links: as long as it may be renewed, so that a control plane that is away
/// ends nothing between nodes.
pub(crate) const LINK_RENEWABLE: Duration = Duration::from_secs(30 * 86_400);
/// Bytes of what a node says of whom it hands on: roles and scopes of a token that is itself bounded.
pub(crate) const VOUCHER_BYTES: usize = 24 << 10;
