//! A small, fast MCP server over HTTP/1.1 for measuring what stands in front of it: many servers in one process, both
//! eras, answers that say who was called. It judges sessions and headers as strictly as real servers do; it does not look
//! at `Accept`, `Host` or arguments.

use std::net::SocketAddr;
use std::rc::Rc;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

mod answer;
mod message;
mod options;
mod server;
mod tools;

use options::{Asked, Options};
use server::Servers;

fn main() -> std::process::ExitCode {
    let options = match options::parse(std::env::args().skip(1)) {
        Ok(Asked::Run(options)) => options,
        Ok(Asked::Help) => {
            say(options::HELP);
            return std::process::ExitCode::SUCCESS;
        }
        Err(fault) => {
            eprintln!("mock-server: {fault}; see --help");
            return std::process::ExitCode::from(2);
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime.and_then(|runtime| runtime.block_on(tokio::task::LocalSet::new().run_until(serve(options)))) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mock-server: cannot listen on {}: {error}; name another --listen", options.listen);
            std::process::ExitCode::FAILURE
        }
    }
}

/// Serves until the process is ended. The address goes to stdout once connections are taken.
async fn serve(options: Options) -> std::io::Result<()> {
    let listener = TcpListener::bind(options.listen).await?;
    let servers = Rc::new(Servers::new(options.servers, options.tools, options.streams));
    say(&format!("{}\n", listener.local_addr()?));
    loop {
        let (connection, _peer): (_, SocketAddr) = match listener.accept().await {
            Ok(accepted) => accepted,
            // out of descriptors: those in use are given back in time
            Err(_) => {
                tokio::time::sleep(options::ACCEPT_PAUSE).await;
                continue;
            }
        };
        // small answers must not wait for the client's acknowledgement
        let _ = connection.set_nodelay(true);
        let servers = Rc::clone(&servers);
        tokio::task::spawn_local(async move {
            let service = service_fn(|request| servers.answer(request));
            // a client that breaks off is its own business
            let _ = http1::Builder::new().serve_connection(TokioIo::new(connection), service).await;
        });
    }
}

/// Writes to stdout, which may be a pipe: at once, and nobody listening is fine.
fn say(text: &str) {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
